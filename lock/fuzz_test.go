package lock_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// modelBytes is the length of the model; its last byte stands for all that follow.
const modelBytes = 16

// A rangeModel is the simplest thing that could be right: who holds each byte, and how.
type rangeModel [modelBytes][]lock.Mode // by lock; 0 is not held

// may says whether lock i can have m on the bytes from lo to hi.
func (b *rangeModel) may(i, lo, hi int, m lock.Mode) bool {
	for at := lo; at <= hi; at++ {
		for j, other := range b[at] {
			if j != i && (other == lock.Exclusive || other == lock.Shared && m == lock.Exclusive) {
				return false
			}
		}
	}
	return true
}

func (b *rangeModel) set(i, lo, hi int, m lock.Mode) {
	for at := lo; at <= hi; at++ {
		b[at][i] = m
	}
}

// A rangeTest takes, converts and releases ranges of two open files, and after each step compares every byte, as
// a third open file finds it in the system, with the model.
type rangeTest struct {
	files [2]*os.File
	out   *sys.FileLock
	model rangeModel
	locks [6]struct {
		l      *lock.Lock // nil when it is to be made anew
		lo, hi int
	}
}

func newRangeTest(t *testing.T, name string) *rangeTest {
	r := &rangeTest{files: [2]*os.File{open(t, name), open(t, name)}, out: stranger(t, name)}
	for at := range r.model {
		r.model[at] = make([]lock.Mode, len(r.locks))
	}
	return r
}

// run obeys a script of three bytes a step: which of the locks; what to do and, if it is to be made,
// where it starts; how long it is then.
func (r *rangeTest) run(t *testing.T, script []byte) {
	for ; len(script) >= 3; script = script[3:] {
		i, what, lo, n := int(script[0])%len(r.locks), script[1]%4, int(script[1]>>4), int(script[2])%(modelBytes+1)
		if s := &r.locks[i]; s.l == nil {
			s.lo, s.hi = lo, lo+n-1
			if n == 0 || s.hi >= modelBytes-1 {
				n, s.hi = 0, modelBytes-1
			}
			s.l = lock.New(r.files[i%2]).Range(int64(lo), int64(n))
		}
		r.step(t, i, lock.Mode(what))
		r.model.check(t, r.out)
	}
	for _, s := range r.locks {
		if s.l != nil {
			s.l.Release()
		}
	}
	if n := lock.Entries(); n != 0 {
		t.Errorf("%d entries are left in the table", n)
	}
}

// step has lock i take m, or release what it has if m is no mode.
func (r *rangeTest) step(t *testing.T, i int, m lock.Mode) {
	s := &r.locks[i]
	if m == lock.Shared || m == lock.Exclusive {
		err := s.l.Try(m)
		if may := r.model.may(i, s.lo, s.hi, m); may != (err == nil) || err != nil && !errors.Is(err, lock.ErrLocked) {
			t.Fatalf("lock %d: Try(%v) of [%d, %d] = %v, model says %v", i, m, s.lo, s.hi, err, may)
		}
		if err == nil {
			r.model.set(i, s.lo, s.hi, m)
		}
		return
	}
	_, held := s.l.Held()
	if err := s.l.Release(); held != (err == nil) {
		t.Fatalf("lock %d: Release() = %v, held: %v", i, err, held)
	}
	r.model.set(i, s.lo, s.hi, 0)
	s.l = nil
}

// FuzzRange runs any script. (Go may seem to hang while it minimises a find: -fuzzminimizetime=10x.)
func FuzzRange(f *testing.F) {
	kinds[1].require(f)
	name := tempFile(f)
	f.Add([]byte{0, 0x01, 10, 2, 0x51, 10, 0, 0x03, 0})                                // overlap, shared, release one
	f.Add([]byte{0, 0x02, 5, 2, 0x52, 5, 0, 0x03, 0, 2, 0x03, 0})                      // adjacent, exclusive
	f.Add([]byte{0, 0x01, 0, 2, 0x41, 8, 4, 0x61, 4, 2, 0x02, 0, 4, 0x03, 0})          // one within another of one file, one upgrades
	f.Add([]byte{0, 0x01, 16, 1, 0x01, 16, 0, 0x02, 0, 1, 0x03, 0, 0, 0x02, 0})        // two files share all, one upgrades
	f.Add([]byte{0, 0xf2, 0, 1, 0xe2, 1, 0, 0x01, 0, 3, 0xf1, 9, 0, 0x03, 0, 1, 3, 0}) // to the end of the file
	f.Fuzz(func(t *testing.T, script []byte) {
		newRangeTest(t, name).run(t, script[:min(len(script), 192)]) // longer ones find no more
	})
}

// TestRangesAgainstModel runs scripts made at random.
func TestRangesAgainstModel(t *testing.T) {
	kinds[1].require(t)
	seed := testutil.Seed(t)
	r := rand.NewChaCha8([32]byte(binary.LittleEndian.AppendUint64(make([]byte, 24), seed)))
	name := tempFile(t)
	scripts := 100
	if testing.Short() {
		scripts = 10
	}
	for range scripts {
		script := make([]byte, 192)
		r.Read(script)
		newRangeTest(t, name).run(t, script)
	}
}

// check compares the model with what the system says to out.
func (b *rangeModel) check(t *testing.T, out *sys.FileLock) {
	t.Helper()
	for at := range b {
		hi := int64(at)
		if at == modelBytes-1 {
			hi = sys.EndOfFile
		}
		for _, m := range []lock.Mode{lock.Shared, lock.Exclusive} {
			err := out.SetRange(int64(at), hi, sys.LockMode(m))
			if may := b.may(-1, at, at, m); may != (err == nil) {
				t.Fatalf("byte %d: %v from outside: %v, model says %v (%v)", at, m, err, may, b[at])
			}
		}
		if err := out.SetRange(int64(at), hi, sys.Unlocked); err != nil {
			t.Fatal(err)
		}
	}
}
