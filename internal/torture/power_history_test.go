package torture

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fmmap-go/fmmap/core"
)

var le = binary.LittleEndian

// A history is what a writer has told.
type history struct {
	records []event            // in the order they were acknowledged
	lengths []event            // the same
	files   map[string][]event // by name, each in the order of the file's life
	copies  []event            // all that leave a file of a name of its own when they are cut off
	moments []int64            // when something was acknowledged, in order
}

// historyOf reads the lines that a writer has written.
func historyOf(lines string) (*history, error) {
	h := &history{files: map[string][]event{}}
	for line := range strings.Lines(lines) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		h.moments = append(h.moments, e.Ended)
		switch e.Kind {
		case recordKind:
			h.records = append(h.records, e)
		case lengthKind:
			h.lengths = append(h.lengths, e)
		default:
			h.files[e.Name] = append(h.files[e.Name], e)
			if e.Kind == copyKind {
				h.copies = append(h.copies, e)
			}
		}
	}
	slices.Sort(h.moments)
	if len(h.moments) == 0 {
		return nil, errors.New("the writer did nothing")
	}
	return h, nil
}

// A loss is something acknowledged that is not there after a power cut.
type loss struct {
	kind string // of the event
	err  error
}

func (l *loss) Error() string { return fmt.Sprintf("lost: %s: %v", l.kind, l.err) }
func (l *loss) Unwrap() error { return l.err }

// lost is a loss.
func lost(kind, format string, args ...any) error { return &loss{kind, fmt.Errorf(format, args...)} }

// losses are all that are in the error of a check. A check that found something
// else has ok false.
func losses(err error) (all []*loss, ok bool) {
	switch e := err.(type) {
	case nil:
		return nil, true
	case *loss:
		return []*loss{e}, true
	case interface{ Unwrap() []error }:
		ok = true
		for _, err := range e.Unwrap() {
			more, fine := losses(err)
			all, ok = append(all, more...), ok && fine
		}
		return all, ok
	case interface{ Unwrap() error }:
		return losses(e.Unwrap())
	}
	return nil, false
}

// check compares the directory of a file system, whose disk lost its power when
// its log had p records, with the history. It returns how many acknowledged
// things it has looked at, and all that is wrong.
func (h *history) check(dir string, p int64) (looked int, err error) {
	n, err := h.checkStore(filepath.Join(dir, storeName), p)
	looked += n
	for name, events := range h.files {
		n, ferr := checkFile(filepath.Join(dir, name), events, p)
		looked += n
		err = errors.Join(err, ferr)
	}
	return looked, errors.Join(err, h.checkNames(dir, p))
}

// checkNames checks that no file is there that was never made. What a copy that
// was cut off leaves may be.
func (h *history) checkNames(dir string, p int64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	leave := 0
	for _, e := range h.copies {
		if e.Began <= p && p < e.Ended {
			leave++
		}
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == storeName || name == "lost+found" || h.files[name] != nil:
		case strings.HasPrefix(name, ".fmmap-") && leave > 0:
			leave--
		case strings.HasPrefix(name, ".fmmap-"): // a copy that is durable has its own name alone
			err = errors.Join(err, lost(copyKind, "%s is still there", name))
		default:
			err = errors.Join(err, fmt.Errorf("there is a file %s, which was never made", name))
		}
	}
	return err
}

// checkStore checks length and records of the store.
func (h *history) checkStore(name string, p int64) (looked int, err error) {
	least, most := map[int64]uint32{}, map[int64]uint32{}
	size := int64(0)
	for _, e := range h.records {
		if e.Began <= p {
			most[e.Slot] = max(most[e.Slot], e.Version)
		}
		if e.Ended <= p {
			looked++
			least[e.Slot] = max(least[e.Slot], e.Version)
			size = max(size, (e.Slot+1)*slotSize)
		}
	}
	kind := recordKind
	for _, e := range h.lengths {
		if e.Ended <= p {
			looked++
			if e.State.Len > size {
				kind, size = lengthKind, e.State.Len
			}
		}
	}
	f, err := core.Open(name)
	if err != nil {
		if looked == 0 && errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		return looked, lost(recordKind, "%w", err)
	}
	err = f.View(func(b []byte) error {
		if n := int64(len(b)); n < size {
			return lost(kind, "the store has %d bytes, want at least %d", n, size)
		}
		return checkRecords(b, least, most)
	})
	return looked, errors.Join(err, f.Close())
}

// checkRecords checks that each word of a store is of a version that the record
// may have.
func checkRecords(b []byte, least, most map[int64]uint32) error {
	for off := int64(0); off+8 <= int64(len(b)); off += 8 {
		slot, w := off/slotSize, le.Uint64(b[off:])
		version := uint32(w >> 32)
		switch {
		case version < least[slot]:
			return lost(recordKind, "record %d has version %d at %d, want at least %d", slot, version, off, least[slot])
		case version > most[slot], w != 0 && w != word(off, version):
			return fmt.Errorf("record %d: %#x at %d was never stored", slot, w, off)
		}
	}
	return nil
}

// checkFile checks what a name means.
func checkFile(name string, events []event, p int64) (looked int, err error) {
	acked, flux := event{Kind: createKind}, (*event)(nil)
	for i, e := range events {
		if e.Ended <= p {
			acked = e
			looked = 1
		} else if e.Began <= p {
			flux = &events[i]
		}
	}
	got, there, err := contents(name)
	switch {
	case err != nil:
		return looked, lost(acked.Kind, "%w", err)
	case means(got, there, acked.State):
		return looked, nil
	case flux == nil:
		return looked, lost(acked.Kind, "%s: %s, want %+v", filepath.Base(name), describe(got, there), acked.State)
	case !flux.allows(got, there, acked.State):
		return looked, lost(acked.Kind, "%s: %s, want %+v, or what a cut leaves of %s %+v", filepath.Base(name), describe(got, there),
			acked.State, flux.Kind, flux.State)
	}
	return looked, nil
}

// allows reports whether what is there may be left by an event that had begun,
// and not ended, when the power went. Before, the name meant from.
func (e event) allows(got []byte, there bool, from state) bool {
	switch e.Kind {
	case createKind: // whatever became of the bytes, the name does not go again
		return there || !from.There
	case resizeKind:
		n := int64(len(got))
		lo, hi := min(from.Len, e.State.Len), max(from.Len, e.State.Len)
		if !there || n < lo || n > hi {
			return false
		}
		// What is to be cut off may be zero already, and what is added is.
		return bytes.Equal(got[:lo], from.bytes()[:lo]) && (e.State.Len < from.Len || !slices.ContainsFunc(got[lo:], func(c byte) bool { return c != 0 }))
	}
	return means(got, there, e.State)
}

func means(got []byte, there bool, want state) bool {
	return there == want.There && (!there || bytes.Equal(got, want.bytes()))
}

// keepWriting goes on with the store where the writer left off.
func keepWriting(name string) error {
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
	if err != nil {
		return lost(recordKind, "%w", err)
	}
	size := f.Len()
	err = f.Truncate(size + slotSize)
	if err == nil {
		err = core.Put(f, size, le, word(0, 1))
	}
	return errors.Join(err, f.FlushRange(size, 8), f.Close())
}

// contents opens a file with the library and returns its bytes.
func contents(name string) (b []byte, there bool, err error) {
	f, err := core.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	b, err = f.Clone()
	return b, true, errors.Join(err, f.Close())
}

// describe is for people.
func describe(got []byte, there bool) string {
	if !there {
		return "there is none"
	}
	zeroes := 0
	for zeroes < len(got) && got[len(got)-1-zeroes] == 0 {
		zeroes++
	}
	return fmt.Sprintf("%d bytes, the last %d zero, beginning with %v", len(got), zeroes, got[:min(8, len(got))])
}

// moment picks one for a cut: half of them right after something was
// acknowledged, when it is most in danger, and half at any record of the log
// from the first acknowledgement on.
func (h *history) moment(intN func(int64) int64, end int64) int64 {
	if intN(2) == 0 {
		return h.moments[intN(int64(len(h.moments)))]
	}
	first := h.moments[0]
	return first + intN(max(end-first, 0)+1)
}
