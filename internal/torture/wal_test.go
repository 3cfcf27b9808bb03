package torture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
	"github.com/fmmap-go/fmmap/wal"
)

// A logHistory is what the writer of a log has told.
type logHistory []logEvent

// startLog has a writer append to a log on a new disk, and returns the disk.
func (r *powerRun) startLog(t *testing.T, rnd *rand.Rand) *disk.Disk {
	t.Helper()
	d := disk.Start(t, max(64*mib, testutil.MinSize(r.fstype)))
	dir := must[string](t)(d.Mount(r.fstype))
	check(t, d.Lie(r.lie))
	o := orders{Dir: dir, Disk: d.Dir(), Break: r.leave, Seed: rnd.Uint64(), Hands: 8, Rounds: 60, Large: rnd.IntN(2) == 0}
	if o.Large {
		o.Rounds = 10
	}
	env := must[[]byte](t)(json.Marshal(o))
	p := testutil.Reexec(t, "log writer", ordersEnv+"="+string(env))
	lines, err := p.Wait()
	check(t, err)
	var h logHistory
	r.history = &history{}
	for line := range strings.Lines(lines) {
		var e logEvent
		check(t, json.Unmarshal([]byte(line), &e))
		h = append(h, e)
		r.history.moments = append(r.history.moments, e.Ended)
	}
	slices.Sort(r.history.moments)
	r.look = func(dir string, at cut) (int, error) { return h.check(dir, at.moment, at.seed%4 == 0) }
	return d
}

// check looks at a log after the power went at the moment: it opens, what was
// acknowledged is there, and what was cut off is not. If goOn is set it is used
// on.
func (h logHistory) check(dir string, moment int64, goOn bool) (looked int, err error) {
	l, err := wal.Open(bg, filepath.Join(dir, logName), logOptions)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	type found struct{ era, id uint64 }
	there := map[uint64]found{}
	for r, err := range l.Range(bg, l.First()) {
		if err != nil {
			return 0, err
		}
		if len(r.Data) < 16 {
			return 0, fmt.Errorf("record %d has %d bytes", r.Index, len(r.Data))
		}
		f := found{le.Uint64(r.Data), le.Uint64(r.Data[8:])}
		if !bytes.Equal(r.Data, logRecord(f.era, f.id)) {
			return 0, fmt.Errorf("record %d is none that was appended", r.Index)
		}
		there[r.Index] = f
	}
	if uint64(len(there)) != l.Last()+1-l.First() {
		return 0, fmt.Errorf("%d records from %d to %d", len(there), l.First(), l.Last())
	}
	b, _ := l.Get("version")
	version := uint64(0)
	if len(b) == 8 {
		version = le.Uint64(b)
	}
	// What may have been cut off, and what must have been.
	front, cuts := uint64(1), []logEvent(nil)
	var errs []error
	for _, e := range h {
		switch {
		case e.Began > moment:
		case e.Kind == frontKind:
			front = max(front, e.Index)
			if e.Ended <= moment && l.First() < e.Index {
				errs = append(errs, lost(e.Kind, "the first is %d, want %d", l.First(), e.Index))
			}
		case e.Kind == backKind:
			cuts = append(cuts, e)
			for i, f := range there {
				if e.Ended <= moment && f.era < e.Era && i > e.Index {
					errs = append(errs, lost(e.Kind, "record %d of era %d is back", i, f.era))
				}
			}
		case e.Kind == setKind && e.Ended <= moment && version < e.ID:
			errs = append(errs, lost(e.Kind, "version %d, want %d", version, e.ID))
		}
	}
	if l.First() > front {
		errs = append(errs, fmt.Errorf("the first is %d, no truncation was beyond %d", l.First(), front))
	}
	for _, e := range h {
		gone := slices.ContainsFunc(cuts, func(c logEvent) bool { return c.Era > e.Era && e.Index > c.Index })
		if e.Kind != appendKind || e.Ended > moment || e.Index < l.First() || gone {
			continue
		}
		looked++
		if f, ok := there[e.Index]; !ok || f.id != e.ID {
			errs = append(errs, lost(e.Kind, "record %d is %v (%t), want %d", e.Index, f, ok, e.ID))
		}
	}
	if goOn && len(errs) == 0 {
		next := l.Last() + 1
		if last, err := l.Append(logRecord(1<<32, next)).Await(bg); err != nil || last != next {
			errs = append(errs, fmt.Errorf("appending %d: %d, %w", next, last, err))
		}
	}
	return looked, errors.Join(errs...)
}

// A log that is appended to by many, truncated at both ends and recycled all the
// time has lost nothing that was acknowledged when the power has gone at any
// moment.
func TestPowerCutsOfALog(t *testing.T) {
	for _, tt := range []struct {
		fstype     string
		cuts, runs int
	}{{"ext4", 1000, 4}, {"xfs", 100, 2}} {
		t.Run(tt.fstype, func(t *testing.T) {
			needs(t, tt.fstype)
			rnd := testutil.Rand(t)
			began := time.Now()
			b := newBudget(tt.cuts)
			cuts, acked, looked := 0, 0, 0
			for runs := 0; !b.spent() && !t.Failed(); runs++ {
				t.Run(fmt.Sprint("writer ", runs), func(t *testing.T) {
					testutil.NoLeaks(t)
					r := &powerRun{fstype: tt.fstype}
					d := r.startLog(t, rnd)
					check(t, r.cutOften(d, rnd, tt.cuts/tt.runs, b.next))
					for _, err := range r.problems[:min(len(r.problems), 3)] {
						t.Error(err)
					}
					cuts, acked, looked = cuts+r.cuts, acked+len(r.history.moments), looked+r.looked
				})
			}
			counted(t, "%d cuts, %d acknowledged things checked %d times; %.0f cuts per minute",
				cuts, acked, looked, float64(cuts)/time.Since(began).Minutes())
		})
	}
}

// The same test sees it when records are acknowledged before their batch is
// over, or the disk flushes nothing.
func TestPowerCutsOfALogNoticeWhatIsLeftOut(t *testing.T) {
	for _, tt := range []struct {
		name, leave string
		lie         bool
	}{{"acknowledged before the batch is over", breakAck, false}, {"flushes ignored by the disk", "", true}} {
		for _, fstype := range []string{"ext4", "xfs"} {
			t.Run(filepath.Join(fstype, tt.name), func(t *testing.T) {
				needs(t, fstype)
				testutil.NoLeaks(t)
				rnd := testutil.Rand(t)
				r := &powerRun{fstype: fstype, leave: tt.leave, lie: tt.lie}
				d := r.startLog(t, rnd)
				check(t, r.cutOften(d, rnd, 60, func() bool { return !r.sees([]string{appendKind}) }))
				for _, err := range r.problems {
					t.Error(err)
				}
				if r.lost.of(appendKind) == 0 && r.losing == 0 {
					t.Errorf("in %d cuts nothing was lost: the power cuts see nothing", r.cuts)
				}
				counted(t, "%d of %d cuts lost something, as they must: %s", r.losing, r.cuts, &r.lost)
			})
		}
	}
}

// When the device fails to write a batch, the log fails for good and returns
// that error; the records acknowledged before are found when it is opened again.
func TestLogWhoseWriteBackFails(t *testing.T) {
	onFailing(t, func(t *testing.T, d *failing) {
		dir := filepath.Join(d.dir, logName)
		l := must[*wal.Log](t)(wal.Open(bg, dir, logOptions))
		for id := range uint64(20) {
			check(t, l.Append(logRecord(0, id)).Wait())
		}
		tail := filepath.Join(dir, "segment-00000001.wal")
		for _, name := range must[[]string](t)(filepath.Glob(filepath.Join(dir, "segment-*.wal"))) {
			f := must[*core.File](t)(core.OpenFile(name, core.Options{NoLock: true}))
			b := make([]byte, 8)
			check(t, second(f.ReadAt(b, 0)))
			if string(b) == "fmmapwal" {
				tail = name
			}
			check(t, f.Close())
		}
		d.failData(tail)
		// More than a page, so that the next record does not store into all of it.
		first := l.Append(bytes.Repeat([]byte("x"), 3*pageSize)).Wait()
		if first == nil {
			t.Fatal("an Append succeeded that the device did not write")
		}
		check(t, d.Heal())
		for name, err := range map[string]error{
			"Append":        l.Append(logRecord(0, 21)).Wait(),
			"Write":         second(l.Write(bg, logRecord(0, 21))),
			"Set":           l.Set("a", []byte("b")),
			"TruncateFront": l.TruncateFront(5),
			"TruncateBack":  l.TruncateBack(bg, 5),
			"Reset":         l.Reset(100),
			"Close":         l.Close(),
		} {
			if !errors.Is(err, core.ErrFlushFailed) {
				t.Errorf("%s after a failed write-back: %v", name, err)
			}
		}
		l = must[*wal.Log](t)(wal.Open(bg, dir, logOptions))
		if l.Last() < 20 {
			t.Errorf("%d records, 20 were acknowledged", l.Last())
		}
		for i := range uint64(20) {
			if b := must[[]byte](t)(l.Read(i+1, nil)); !bytes.Equal(b, logRecord(0, i)) {
				t.Errorf("record %d differs", i+1)
			}
		}
		// What the log was found to hold is durable with what is appended to it,
		// though the system takes the page that it could not write for clean.
		found := l.Last()
		check(t, l.Append(logRecord(0, 22)).Wait())
		check(t, l.Append(logRecord(0, 23)).Wait())
		c := must[*disk.Cutter](t)(d.NewCutter())
		err := c.Check(c.Len(), d.rnd.Uint64(), d.fstype, func(dir string) error {
			l, err := wal.Open(bg, filepath.Join(dir, logName), logOptions)
			if err != nil {
				return err
			}
			if l.Last() != found+2 {
				err = fmt.Errorf("%d records after a power cut, want %d", l.Last(), found+2)
			}
			return errors.Join(err, l.Verify(bg), l.Close())
		})
		check(t, errors.Join(err, c.Close(), l.Close()))
	})
}
