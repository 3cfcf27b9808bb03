package sys

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

// An advice may be refused, but whatever it does, it does to the named bytes alone.
func TestAdviseKeepsNeighbours(t *testing.T) {
	page := PageSize()
	size := 8 * page
	off, n := page/2, 5*page+7 // ends and begins inside pages
	for _, mapping := range []string{"shared", "private", "anonymous"} {
		for a := Normal; a <= PopulateWrite+1; a++ {
			var f *os.File
			o := MapOptions{Access: ReadWrite, Len: size}
			if mapping != "anonymous" {
				f = newFile(t, size)
			}
			if mapping == "private" {
				o.Access = Copy
			}
			m := newMapping(t, f, o)
			b := m.bytes(0, size)
			for i := range b {
				b[i] = 77
			}
			want := bytes.Clone(b)
			err := m.Advise(a, off, n)
			if a > PopulateWrite && !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%s, advice %d: %v, want ErrUnsupported", mapping, a, err)
			}
			if !bytes.Equal(b[:off], want[:off]) || !bytes.Equal(b[off+n:], want[off+n:]) {
				t.Errorf("%s, advice %d (error %v): bytes beside the range have changed", mapping, a, err)
			}
			loses := a == Remove || a == Free || a == DontNeed && mapping != "shared"
			if !loses && !bytes.Equal(b, want) {
				t.Errorf("%s, advice %d (error %v): bytes have changed", mapping, a, err)
			}
		}
	}
}

func TestAdviseRefuses(t *testing.T) {
	f := newFile(t, PageSize())
	m := newMapping(t, f, MapOptions{Access: Read, Len: PageSize()})
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {m.Room() + 1, 1}} {
		if err := m.Advise(WillNeed, r[0], r[1]); err == nil {
			t.Errorf("range %v was taken", r)
		}
	}
	for _, r := range [][2]int64{{0, 0}, {m.Room(), 0}, {m.Room(), 1 << 40}, {0, 1<<63 - 1}} {
		if err := m.Advise(WillNeed, r[0], r[1]); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("range %v: %v", r, err)
		}
	}
}

func TestLockMemory(t *testing.T) {
	f := newFile(t, 16*PageSize())
	m := newMapping(t, f, MapOptions{Access: ReadWrite, Len: 16 * PageSize()})
	if err := m.LockMemory(5, 10*PageSize()); err != nil {
		t.Skipf("memory cannot be locked here: %v", err)
	}
	if in, of, err := m.Resident(5, 10*PageSize()); err == nil && in != of {
		t.Errorf("%d of %d locked pages resident", in, of)
	}
	for range 2 { // the second time nothing is locked
		if err := m.UnlockMemory(5, 10*PageSize()); err != nil {
			t.Error(err)
		}
	}
}
