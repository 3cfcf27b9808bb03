package sys

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// The kernel's own populating, and what stands in for it.
var populating = map[string][]Call{
	"by the kernel": nil,
	"by hand":       {CallPopulate},
	"by touch":      {CallPopulate, CallFallocate},
}

// withoutAll is Without for several features.
func withoutAll(t *testing.T, features []Call) {
	for _, f := range features {
		t.Cleanup(Disable(f))
	}
}

func TestPopulate(t *testing.T) {
	page := PageSize()
	for name, features := range populating {
		for _, tt := range []struct {
			name   string
			size   int64 // of the file; below zero: anonymous
			access Access
			off, n int64
			write  bool
			fault  bool
		}{
			{"all", 4 * page, Read, 0, 4 * page, false, false},
			{"all to write", 4 * page, ReadWrite, 0, 4 * page, true, false},
			{"a byte", 4 * page, Read, page + 5, 1, false, false},
			{"nothing", 4 * page, Read, 0, 0, false, false},
			{"a last page that is not full", 3*page + 1, Read, 0, 4 * page, false, false},
			{"a last page that is not full, to write", 3*page + 1, ReadWrite, 3 * page, 1, true, false},
			{"one page too many", 3*page + 1, Read, 0, 4*page + 1, false, true},
			{"one page too many to write", 3 * page, ReadWrite, 0, 4 * page, true, true},
			{"past the end", page, ReadWrite, 4 * page, page, true, true},
			{"past the end of nothing", 0, ReadWrite, 0, 1, false, true},
			{"private", 4 * page, Copy, 0, 4 * page, true, false},
			{"anonymous", -1, ReadWrite, 0, 4 * page, true, false},
			{"anonymous to read", -1, Read, 0, 4 * page, false, false},
		} {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				var f *os.File
				if tt.size >= 0 {
					f = newFile(t, tt.size)
				}
				if tt.fault && !CanReserve {
					t.Skip("this platform maps no pages past the end of a file")
				}
				length := int64(4 * page)
				if tt.size >= 0 {
					length = tt.size
				}
				m := newMapping(t, f, MapOptions{Access: tt.access, Len: length, Reserve: 8 * page})
				withoutAll(t, features)
				err := m.Populate(tt.off, tt.n, tt.write)
				if f != nil && fileLen(t, f) != tt.size {
					t.Errorf("populating has changed the file's length to %d", fileLen(t, f))
				}
				if got := errors.Is(err, ErrFault); got != tt.fault || err != nil && !got {
					t.Fatalf("Populate = %v, want a fault: %v", err, tt.fault)
				}
				if err != nil {
					return
				}
				if f != nil {
					for off := tt.off; off < min(tt.off+tt.n, tt.size); off++ {
						if got := m.bytes(off, 1)[0]; got != pageByte(off) {
							t.Fatalf("byte %d = %d, want %d", off, got, pageByte(off))
						}
					}
				}
				in, of, err := m.Resident(tt.off, tt.n)
				if err == nil && in != of && tt.access != Read {
					t.Errorf("%d of %d pages resident", in, of)
				}
			})
		}
	}
}

func TestPopulateRefuses(t *testing.T) {
	f := newFile(t, PageSize())
	m := newMapping(t, f, MapOptions{Access: Read, Len: PageSize()})
	for name, features := range populating {
		t.Run(name, func(t *testing.T) {
			withoutAll(t, features)
			if err := m.Populate(0, 1, true); err == nil || errors.Is(err, ErrFault) {
				t.Errorf("Populate to write a read-only mapping = %v, want a refusal", err)
			}
			if err := m.Populate(-1, 1, false); err == nil {
				t.Error("a negative offset was taken")
			}
			if err := m.Populate(0, -1, false); err == nil {
				t.Error("a negative length was taken")
			}
			if err := m.Populate(m.Room()+1, 1, false); err == nil {
				t.Error("an offset past the mapping was taken")
			}
		})
	}
}

// Populating to write must neither lose a store that is made meanwhile nor change a byte.
func TestPopulateLosesNoStore(t *testing.T) {
	const pages = 64
	for name, features := range populating {
		t.Run(name, func(t *testing.T) {
			f := newFile(t, pages*PageSize())
			m := newMapping(t, f, MapOptions{Access: ReadWrite, Len: pages * PageSize()})
			withoutAll(t, features)
			var wg sync.WaitGroup
			var stop atomic.Bool
			var made atomic.Uint32
			words := make([]*uint32, pages)
			before := make([]uint32, pages)
			for i := range words {
				words[i] = (*uint32)(unsafe.Add(m.Base(), int64(i)*PageSize()))
				before[i] = *words[i]
			}
			wg.Go(func() {
				for !stop.Load() {
					for _, w := range words {
						atomic.AddUint32(w, 1)
					}
					made.Add(1)
				}
			})
			for made.Load() < 5000 {
				if err := m.Populate(0, pages*PageSize(), true); err != nil {
					t.Error(err)
				}
			}
			stop.Store(true)
			wg.Wait()
			for i, w := range words {
				if got, want := *w, before[i]+made.Load(); got != want {
					t.Errorf("page %d counts %d, want %d", i, got, want)
				}
			}
		})
	}
}
