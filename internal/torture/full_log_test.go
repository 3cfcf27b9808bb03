package torture

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/wal"
)

// A fullLog is a log on a disk that is full before each of its steps, with what
// it must hold.
type fullLog struct {
	*fullDisk
	log         *wal.Log // nil while it is closed
	first, last uint64
	records     map[uint64][]byte
	set         []byte // the value of the only key
}

var fullLogOptions = wal.Options{SegmentSize: 256 * kib}

// On a disk that is full before any step of a log's life, the step fails for
// want of room and changes nothing, or goes well. The log stays readable, and
// the step goes well when there is room again.
func TestLogOnADiskFullAtEachStep(t *testing.T) {
	testutil.NoLeaks(t)
	t.Setenv("TMPDIR", "/dev/shm")
	d := &fullDisk{T: t, dir: testutil.LoopDisk(t, 16*mib, "ext4"), rnd: testutil.Rand(t)}
	d.fill()
	for range 3 {
		l := &fullLog{fullDisk: d, first: 1, records: map[uint64][]byte{}}
		l.live(filepath.Join(d.dir, "log"))
		check(t, os.RemoveAll(filepath.Join(d.dir, "log")))
	}
	d.empty()
	counted(t, "%s", d.seen.String())
	for _, must := range []string{"create refused", "first append refused", "roll refused"} {
		if d.seen.of(must) == 0 {
			t.Errorf("no %s", must)
		}
	}
	healthy(t, d.dir)
}

// live takes a log in dir through its steps.
func (l *fullLog) live(dir string) {
	open := func() (err error) {
		l.log, err = wal.Open(bg, dir, fullLogOptions)
		return err
	}
	reopen := func() error {
		if l.log != nil {
			check(l, l.log.Close())
			l.log = nil
		}
		return open()
	}
	l.step("create", open)
	// A spare that was begun while there was room would serve the append.
	check(l, l.log.Close())
	for _, name := range must[[]string](l)(filepath.Glob(filepath.Join(dir, "segment-*"))) {
		check(l, os.Remove(name))
	}
	l.top()
	check(l, open())
	l.step("first append", func() error { return l.append(1) })
	l.step("set", func() error { return l.put(8 * kib) })
	// Each of these needs a segment of its own: the first may be a spare.
	for range 4 {
		l.step("roll", func() error { return l.append(200) })
	}
	l.step("large record", func() error { return l.store(1, 512*kib) })
	l.step("front", func() error { return l.cut(l.first+250, l.last) })
	l.step("append to a recycled segment", func() error { return l.append(200) })
	l.step("back", func() error { return l.cut(l.first, l.last-250) })
	l.step("append after back", func() error { return l.append(200) })
	l.step("set again", func() error { return l.put(24 * kib) })
	l.step("open", reopen)
	l.step("append after open", func() error { return l.append(200) })
	l.step("reset", func() error {
		if err := l.log.Reset(5000); err != nil {
			return err
		}
		l.first, l.last, l.records = 5000, 4999, map[uint64][]byte{}
		return nil
	})
	l.step("append after reset", func() error { return l.append(200) })
	l.step("open again", reopen)
	check(l, l.log.Close())
}

// step does one step on a full disk, and if that is refused, with room again.
func (l *fullLog) step(name string, do func() error) {
	l.Helper()
	l.top()
	err := do()
	if err == nil {
		l.seen.add(name+" went well", 1)
		l.look(name)
		return
	}
	if !errors.Is(err, syscall.ENOSPC) {
		l.Fatalf("%s on a full disk: %v", name, err)
	}
	l.seen.add(name+" refused", 1)
	l.look(name + ", refused")
	l.leave(2 * mib)
	if err := do(); err != nil {
		l.Fatalf("%s with room again: %v", name, err)
	}
	l.look(name + " with room again")
}

// look compares the log with what it must hold.
func (l *fullLog) look(after string) {
	l.Helper()
	if l.log == nil {
		return
	}
	if first, last := l.log.First(), l.log.Last(); first != l.first || last != l.last {
		l.Fatalf("after %s, the log has %d to %d, want %d to %d", after, first, last, l.first, l.last)
	}
	for i := l.first; i <= l.last; i++ {
		if b, err := l.log.Read(i, nil); err != nil || !bytes.Equal(b, l.records[i]) {
			l.Fatalf("after %s, record %d is not what was appended: %v", after, i, err)
		}
	}
	if v, _ := l.log.Get("key"); !bytes.Equal(v, l.set) {
		l.Fatalf("after %s, the value has %d bytes, want %d", after, len(v), len(l.set))
	}
	if err := l.log.Verify(bg); err != nil {
		l.Fatalf("after %s: %v", after, err)
	}
}

func (l *fullLog) append(n int) error { return l.store(n, kib) }

// store appends n records of the given size in one call.
func (l *fullLog) store(n, size int) error {
	batch := make([][]byte, n)
	for i := range batch {
		batch[i] = pattern(0, size, byte(l.rnd.Uint32()))
	}
	if err := l.log.Append(batch...).Wait(); err != nil {
		return err
	}
	for _, b := range batch {
		l.last++
		l.records[l.last] = b
	}
	return nil
}

func (l *fullLog) put(size int) error {
	v := pattern(0, size, byte(l.rnd.Uint32()))
	if err := l.log.Set("key", v); err != nil {
		return err
	}
	l.set = v
	return nil
}

// cut removes the records that are not in first to last.
func (l *fullLog) cut(first, last uint64) error {
	if last < l.last {
		if err := l.log.TruncateBack(bg, last); err != nil {
			return err
		}
		l.last = last
	}
	if first > l.first {
		if err := l.log.TruncateFront(first); err != nil {
			return err
		}
		l.first = first
	}
	return nil
}
