package lock_test

import (
	"errors"
	"os"
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys"
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

// FuzzRange takes, converts and releases ranges of two open files, and after each step compares every byte, as
// a third open file finds it in the system, with the model.
//
// A step is three bytes: which of the locks; what to do and, when it is not held, where it starts; its length.
func FuzzRange(f *testing.F) {
	kinds[1].require(f)
	name := tempFile(f)
	f.Add([]byte{0, 0x01, 10, 1, 0x51, 10, 0, 0x03, 0})                                // overlap, shared, release one
	f.Add([]byte{0, 0x02, 5, 2, 0x52, 5, 0, 0x03, 0, 2, 0x03, 0})                      // adjacent, exclusive
	f.Add([]byte{0, 0x01, 0, 2, 0x41, 8, 4, 0x61, 4, 2, 0x02, 0, 4, 0x03, 0})          // nested ranges of one file, one upgrades
	f.Add([]byte{0, 0x01, 16, 1, 0x01, 16, 0, 0x02, 0, 1, 0x03, 0, 0, 0x02, 0, 0, 1})  // two files share all, one upgrades
	f.Add([]byte{0, 0xf2, 0, 1, 0xe2, 1, 0, 0x01, 0, 3, 0xf1, 9, 0, 0x03, 0, 1, 3, 0}) // to the end of the file
	f.Fuzz(func(t *testing.T, script []byte) {
		files := []*os.File{open(t, name), open(t, name)}
		out := stranger(t, name)
		const slots = 6
		var model rangeModel
		for at := range model {
			model[at] = make([]lock.Mode, slots)
		}
		type slot struct {
			l      *lock.Lock
			lo, hi int
		}
		var locks [slots]slot
		for script = script[:min(len(script), 192)]; len(script) >= 3; script = script[3:] { // longer ones find no more
			i, what, where, n := int(script[0])%slots, script[1]%4, int(script[1]>>4), int(script[2])%(modelBytes+1)
			s := &locks[i]
			if s.l == nil {
				if n == 0 || where+n >= modelBytes {
					*s = slot{lock.New(files[i%2]).Range(int64(where), 0), where, modelBytes - 1}
				} else {
					*s = slot{lock.New(files[i%2]).Range(int64(where), int64(n)), where, where + n - 1}
				}
			}
			switch m := lock.Mode(what); m {
			case lock.Shared, lock.Exclusive:
				err := s.l.Try(m)
				if may := model.may(i, s.lo, s.hi, m); may != (err == nil) || err != nil && !errors.Is(err, lock.ErrLocked) {
					t.Fatalf("lock %d: Try(%v) of [%d, %d] = %v, model says %v", i, m, s.lo, s.hi, err, may)
				}
				if err == nil {
					model.set(i, s.lo, s.hi, m)
				}
			default:
				_, held := s.l.Held()
				if err := s.l.Release(); held != (err == nil) {
					t.Fatalf("lock %d: Release() = %v, held: %v", i, err, held)
				}
				model.set(i, s.lo, s.hi, 0)
				s.l = nil
			}
			model.check(t, out)
		}
		for _, s := range locks {
			if s.l != nil {
				s.l.Release()
			}
		}
		if n := lock.Entries(); n != 0 {
			t.Errorf("%d entries are left in the table", n)
		}
	})
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
