package wal

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"slices"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/lock"
)

const (
	metaName    = "meta"
	slotSize    = 64 << 10
	slotHeader  = 24 // magic, version, length of the body, counter
	metaVersion = 1
)

var metaMagic = [8]byte{'f', 'm', 'm', 'a', 'p', 'm', 'e', 't'}

// state is the content of the meta file: everything that is not in a segment.
type state struct {
	id       identity
	first    uint64 // index of the first record; of the next one if there is no segment
	firstSeq uint64 // segment that holds it; 0 without a segment
	tailSeq  uint64 // the last segment that is known to have been begun
	nextSeq  uint64 // for the next segment; never used before
	gen      uint16 // no frame of tailSeq has a later generation; durable before one has it
	cut      cut
	clean    clean
	values   map[string][]byte // of Log.Set
}

// cut is the place of the last TruncateBack. Frames of that segment from off on
// whose generation is not later than gen are no part of the log any more, nor is
// a trailer that was stored before.
type cut struct {
	number uint64 // counts the cuts of the log
	seq    uint64
	off    int64
	gen    uint16
}

// covers reports whether a frame was cut off.
func (c cut) covers(seq uint64, off int64, gen uint16) bool {
	return c.seq == seq && off >= c.off && gen <= c.gen
}

// coversTrailer reports whether the trailer of a segment was cut off.
func (c cut) coversTrailer(seq uint64, t trailer) bool {
	return c.seq == seq && t.cuts < c.number
}

// clean describes the end of a log that was closed: nothing needs scanning.
type clean struct {
	closed bool
	seq    uint64 // of the tail, 0 without one
	end    int64  // of its frames; its index begins there
	count  uint64 // of its records
	index  uint32 // checksum of its index
}

// body encodes the state.
func (s *state) body() []byte {
	b := append([]byte{}, s.id[:]...)
	for _, v := range []uint64{s.first, s.firstSeq, s.tailSeq, s.nextSeq, s.cut.number, s.cut.seq, uint64(s.cut.off), uint64(s.cut.gen),
		s.clean.seq, uint64(s.clean.end), s.clean.count, uint64(s.gen), uint64(s.clean.index)} {
		b = le.AppendUint64(b, v)
	}
	closed := byte(0)
	if s.clean.closed {
		closed = 1
	}
	b = append(b, closed)
	b = le.AppendUint32(b, uint32(len(s.values)))
	for _, k := range slices.Sorted(maps.Keys(s.values)) {
		b = le.AppendUint32(b, uint32(len(k)))
		b = le.AppendUint32(b, uint32(len(s.values[k])))
		b = append(append(b, k...), s.values[k]...)
	}
	return b
}

// decodeBody is the inverse of body.
func decodeBody(b []byte) (s state, ok bool) {
	const fixed = 16 + 13*8 + 1 + 4
	if len(b) < fixed {
		return s, false
	}
	s.id = identity(b)
	var v [13]uint64
	for i := range v {
		v[i] = le.Uint64(b[16+8*i:])
	}
	s.first, s.firstSeq, s.tailSeq, s.nextSeq = v[0], v[1], v[2], v[3]
	s.cut = cut{v[4], v[5], int64(v[6]), uint16(v[7])}
	s.clean = clean{b[16+13*8] != 0, v[8], int64(v[9]), v[10], uint32(v[12])}
	s.gen = uint16(v[11])
	s.values = map[string][]byte{}
	n := le.Uint32(b[fixed-4:])
	b = b[fixed:]
	for range n {
		if len(b) < 8 {
			return s, false
		}
		klen, vlen := int64(le.Uint32(b)), int64(le.Uint32(b[4:]))
		if b = b[8:]; klen+vlen > int64(len(b)) {
			return s, false
		}
		s.values[string(b[:klen])] = slices.Clone(b[klen : klen+vlen])
		b = b[klen+vlen:]
	}
	return s, len(b) == 0 && s.first > 0
}

// meta is the open meta file.
type meta struct {
	file    *core.File
	counter uint64 // of the slot that holds the state; the next goes to the other
	state
}

// write makes next the durable state. On an error either of the two is on the
// disk.
func (m *meta) write(next state) error {
	body := next.body()
	if slotHeader+len(body)+4 > slotSize {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(body), slotSize-slotHeader-4)
	}
	counter := m.counter + 1
	b := make([]byte, slotHeader, slotHeader+len(body)+4)
	copy(b, metaMagic[:])
	le.PutUint32(b[8:], metaVersion)
	le.PutUint32(b[12:], uint32(len(body)))
	le.PutUint64(b[16:], counter)
	b = append(b, body...)
	b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
	off := int64(counter%2) * slotSize
	if _, err := m.file.WriteAt(b, off); err != nil {
		return err
	}
	if err := m.file.FlushRange(off, int64(len(b))); err != nil {
		return err
	}
	m.counter = counter
	return nil
}

// storeMeta makes next the state of the log, durably. On an error the state is
// unchanged in memory, and the log is unusable: a file whose flush has failed
// cannot be trusted with another. l.writer is held.
func (l *Log) storeMeta(next state) error {
	if err := l.meta.write(next); err != nil {
		if !errors.Is(err, ErrTooLarge) {
			l.fail(err)
		}
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.meta.state = next
	return nil
}

// decodeSlot reports whether b holds a whole state.
func decodeSlot(b []byte) (counter uint64, s state, ok bool) {
	if len(b) < slotHeader || [8]byte(b) != metaMagic || le.Uint32(b[8:]) != metaVersion {
		return 0, s, false
	}
	end := slotHeader + int64(le.Uint32(b[12:]))
	if end+4 > int64(len(b)) || crc32.Checksum(b[:end], castagnoli) != le.Uint32(b[end:]) {
		return 0, s, false
	}
	s, ok = decodeBody(b[slotHeader:end])
	return le.Uint64(b[16:]), s, ok
}

// openMeta opens the meta file, and creates it when absent. A file of another
// program stays as it is.
func openMeta(ctx context.Context, name string, wait bool) (*core.File, error) {
	f, err := core.OpenFileContext(ctx, name, core.Options{Access: core.ReadWrite, Create: true, Reserve: 2 * slotSize, Wait: wait})
	if err != nil {
		return nil, lockRefused(err)
	}
	err = f.View(func(b []byte) error {
		if foreign(b[:min(len(b), 2*slotSize)]) {
			return fmt.Errorf("%s: %w", name, ErrNotALog)
		}
		return nil
	})
	if err == nil && f.Len() < 2*slotSize { // new, or its creation was interrupted
		err = f.Truncate(2 * slotSize)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// lockRefused has, for a log that is open elsewhere, an error that names the one
// option that this package has for it: core has NoLock too, and two writers would
// destroy the log. Other errors are returned as they are.
func lockRefused(err error) error {
	var pe *fs.PathError
	if !errors.Is(err, lock.ErrLocked) || !errors.As(err, &pe) {
		return err
	}
	cause := lock.ErrLocked
	if errors.Is(err, lock.ErrLockedHere) {
		cause = lock.ErrLockedHere
	}
	return &fs.PathError{Op: pe.Op, Path: pe.Path, Err: fmt.Errorf("lock: %w (Options.Wait waits)", cause)}
}

// foreign reports whether the content of a meta file is of another program: it
// has bytes, and no slot begins as one.
func foreign(b []byte) bool {
	begins := func(b []byte) bool { return len(b) >= len(metaMagic) && [8]byte(b) == metaMagic }
	return !blank(b) && !begins(b) && (len(b) < slotSize || !begins(b[slotSize:]))
}

// blank reports whether all bytes are zero.
func blank(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

// read finds the newer of the two slots. It reports whether the file has no
// state yet, as one whose creation was interrupted.
func (m *meta) read() (empty bool, err error) {
	b := make([]byte, 2*slotSize)
	if _, err := m.file.ReadAt(b, 0); err != nil {
		return false, fmt.Errorf("%w: %w", ErrNotALog, err)
	}
	whole := 0
	for i := range 2 {
		if n, s, ok := decodeSlot(b[i*slotSize : (i+1)*slotSize]); ok && n%2 == uint64(i) {
			if whole++; n > m.counter {
				m.counter, m.state = n, s
			}
		}
	}
	switch {
	case whole == 0 && blank(b):
		return true, nil
	case whole == 0 && foreign(b):
		return false, fmt.Errorf("%s: %w", m.file.Name(), ErrNotALog)
	case whole == 0 && blank(b[:slotSize]):
		return true, nil // the first store, to slot 1, was interrupted
	case whole == 0:
		return false, &CorruptError{m.file.Name(), 0, "neither slot is whole"}
	}
	// A crash may leave one whole slot, also a crash in Open or Close.
	return false, nil
}

// Set makes value the durable value of key in the log's small map, and returns
// when that is durable. A nil value removes the key. All keys and values
// together must fit into 64 KiB less a few hundred bytes: [ErrTooLarge]. Set is
// for values that change rarely, and costs one flush.
func (l *Log) Set(key string, value []byte) error {
	l.writer.Lock()
	defer l.writer.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	next := l.meta.state
	next.values = maps.Clone(next.values)
	if value == nil {
		delete(next.values, key)
	} else {
		next.values[key] = slices.Clone(value)
		if value = next.values[key]; value == nil {
			next.values[key] = []byte{}
		}
	}
	return l.storeMeta(next)
}

// Get returns a copy of the value that Set has given key, and reports whether
// there is one.
func (l *Log) Get(key string) (value []byte, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	value, ok = l.meta.values[key]
	return slices.Clone(value), ok
}
