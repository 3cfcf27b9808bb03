package core_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/sys/systest"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// storing opens a file whose stores may be system calls. The test is skipped
// where they may not.
func storing(t testing.TB, b []byte, o core.Options) *core.File {
	t.Helper()
	o.Access = core.ReadWrite
	f := opened(t, tempFile(t, b), o)
	if !sys.CanStore(f.Fd()) {
		t.Skip("no file system here whose writes and mappings are known to be coherent")
	}
	return f
}

// copyingStores store at least the 8 bytes at off.
var copyingStores = map[string]func(f *core.File, off int64) error{
	"WriteAt":     func(f *core.File, off int64) error { return second(f.WriteAt([]byte("12345678"), off)) },
	"WriteAtCall": func(f *core.File, off int64) error { return second(f.WriteAtCall([]byte("12345678"), off)) },
	"Zero":        func(f *core.File, off int64) error { return f.Zero(off, 8) },
	"Put":         func(f *core.File, off int64) error { return core.Put(f, off, binary.BigEndian, uint64(1)) },
	"PutSlice": func(f *core.File, off int64) error {
		return core.PutSlice(f, off, binary.LittleEndian, []uint32{1, 2})
	},
	"PutSlice, reversed": func(f *core.File, off int64) error {
		return core.PutSlice(f, off, binary.BigEndian, []uint32{1, 2})
	},
	"Write": func(f *core.File, off int64) error {
		return writing(f, off, func(w *core.Writer) error { return second(w.Write([]byte("12345678"))) })
	},
	"PutNext": func(f *core.File, off int64) error {
		return writing(f, off, func(w *core.Writer) error { return core.PutNext(w, binary.LittleEndian, 1.5) })
	},
	"ReadFrom": func(f *core.File, off int64) error {
		return writing(f, off, func(w *core.Writer) error { return second(w.ReadFrom(strings.NewReader("12345678"))) })
	},
}

func writing(f *core.File, off int64, do func(w *core.Writer) error) error {
	w, err := f.NewWriter(off, 8)
	if err != nil {
		return err
	}
	return do(w)
}

// The first stores to a page since its last flush are system calls, on a file
// that holds its lock, and those of a hot page are not.
func TestFirstStoresAreSystemCalls(t *testing.T) {
	for name, store := range copyingStores {
		t.Run(name, func(t *testing.T) {
			f := storing(t, pattern(64*KiB, 1), core.Options{})
			calls := failing(t, sys.OpPwrite, -1, nil)
			for flush := range 3 {
				before := calls()
				for range 100 {
					check(t, store(f, 9000))
				}
				n := calls() - before
				if n < 10 || n > 60 && name != "ReadFrom" {
					t.Errorf("round %d: %d of 100 stores were system calls", flush, n)
				}
				check(t, f.FlushRange(8192, 4096))
			}
		})
	}
}

// The second store to a page since its last flush is no system call where the File
// has written it ahead, page by page. Of pages that were there before, or that were
// so when it was opened again, it knows no more than of others.
func TestStoresToWhatWasWrittenAhead(t *testing.T) {
	storing(t, nil, core.Options{})
	name := tempFile(t, pattern(10_000, 1)) // the third page was there in part
	o := core.Options{Access: core.ReadWrite, WrittenAhead: true, Offset: 4096, Size: 32 * KiB}
	stores := func(f *core.File, off int64) int {
		check(t, f.Flush())
		calls := failing(t, sys.OpPwrite, -1, nil)
		for range 20 {
			check(t, second(f.WriteAt([]byte{1}, off-4096)))
		}
		return calls()
	}
	f := opened(t, name, o)
	check(t, f.Truncate(64*KiB))
	for off, want := range map[int64]int{4096: 20, 9000: 20, 12_288: 1, 40_000: 1, 64*KiB - 1: 1} {
		if n := stores(f, off); n != want {
			t.Errorf("at %d: %d of 20 stores were system calls, want %d", off, n, want)
		}
	}
	check(t, f.Truncate(20_000))
	check(t, f.Truncate(64*KiB))
	if n := stores(f, 30_000); n != 1 {
		t.Errorf("where it has grown again: %d of 20 stores were system calls, want 1", n)
	}
	check(t, f.Close())
	f = opened(t, name, o)
	if n := stores(f, 40_000); n != 20 {
		t.Errorf("opened again: %d of 20 stores were system calls, want all", n)
	}
}

// No store is a system call where that is not known to be right.
func TestStoresThatAreNoSystemCalls(t *testing.T) {
	storing(t, pattern(64*KiB, 1), core.Options{})
	for name, open := range map[string]func() (*core.File, error){
		"mapped": func() (*core.File, error) {
			return opening(t, core.Options{Access: core.ReadWrite, Stores: core.ViaMap})
		},
		"no lock": func() (*core.File, error) { return opening(t, core.Options{Access: core.ReadWrite, NoLock: true}) },
		"private": func() (*core.File, error) {
			return opening(t, core.Options{Access: core.CopyOnWrite, Stores: core.ViaCall})
		},
		"O_SYNC":    func() (*core.File, error) { return opening(t, core.Options{Access: core.ReadWrite, Flags: os.O_SYNC}) },
		"shared":    func() (*core.File, error) { return core.NewShared("shared", 64*KiB, core.Options{}) },
		"anonymous": func() (*core.File, error) { return core.NewAnonymous(64*KiB, core.Options{}) },
		"heap":      func() (*core.File, error) { return core.NewMemory("heap", make([]byte, 64*KiB)), nil },
	} {
		f, err := open()
		check(t, err)
		calls := failing(t, sys.OpPwrite, -1, nil)
		for what, store := range copyingStores {
			if err := store(f, 9000); err != nil || calls() > 0 {
				t.Errorf("%s, %s: %v, %d system calls", name, what, err, calls())
			}
		}
		check(t, f.Close())
	}
}

func opening(t *testing.T, o core.Options) (*core.File, error) {
	return core.OpenFile(tempFile(t, pattern(64*KiB, 1)), o)
}

// A write to a descriptor with O_APPEND goes to the end of the file, wherever it
// is to go. A program that shares the open file can set the flag at any time.
func TestStoresOfADescriptorThatAppends(t *testing.T) {
	want := pattern(64*KiB, 1)
	name := tempFile(t, want)
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	check(t, err)
	defer file.Close()
	f, err := core.Map(file, core.Options{Access: core.ReadWrite})
	check(t, err)
	defer f.Close()
	check(t, second(f.WriteAt([]byte("first"), 100)))
	if err := systest.SetAppend(file); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the flags of an open file cannot be changed here")
	} else if err != nil {
		t.Fatal(err)
	}
	check(t, second(f.WriteAt([]byte("second"), 30_000)))
	check(t, second(f.WriteAtCall([]byte("third"), 40_000)))
	copy(want[100:], "first")
	copy(want[30_000:], "second")
	copy(want[40_000:], "third")
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, or other ones (%v)", len(got), err)
	}
}

// A store to bytes that another process has cut off is a fault, and does not
// lengthen the file, by whatever way it is made.
func TestStoresDoNotLengthenAFile(t *testing.T) {
	for _, via := range []core.Via{core.ViaEither, core.ViaMap, core.ViaCall} {
		for name, store := range copyingStores {
			t.Run(fmt.Sprint(via, " ", name), func(t *testing.T) {
				f := shortened(t, core.Options{Access: core.ReadWrite, Stores: via})
				for range 40 {
					wantFault(t, f, store(f, 9000), 8192, 9008)
				}
				check(t, store(f, 2000))
				if fi, err := os.Stat(f.Name()); err != nil || fi.Size() != 4*KiB {
					t.Errorf("the file has %d bytes, %v", fi.Size(), err)
				}
			})
		}
	}
}

// A neighbor that does not mind the lock cuts the file and lets it grow under
// writers. Stores succeed or are faults, and the file is never longer than the
// neighbor once made it; where stores are not system calls, never longer than it
// made it last.
func TestANeighborResizesUnderWriters(t *testing.T) {
	needsCutting(t)
	for _, via := range []core.Via{core.ViaEither, core.ViaMap, core.ViaCall} {
		t.Run(via.String(), func(t *testing.T) {
			name := tempFile(t, pattern(MiB, 1))
			f := opened(t, name, core.Options{Access: core.ReadWrite, Stores: via})
			whileResized(t, name, func(rng *rand.Rand) error {
				return second(f.WriteAt([]byte("stored"), rng.Int64N(MiB-6)))
			}, func(size int64) {
				fi, err := os.Stat(name)
				check(t, err)
				if fi.Size() > MiB || via == core.ViaMap && fi.Size() != size {
					t.Fatalf("the file has %d bytes and was given %d", fi.Size(), size)
				}
			})
		})
	}
}

// whileResized has four goroutines use a file of 1 MiB by name, which is cut to
// 8 KiB and lengthened again and again, until some uses have succeeded and some were
// faults. No other error may come of them. resized is called with each length that
// the file was given.
func whileResized(t *testing.T, name string, use func(rng *rand.Rand) error, resized func(size int64)) {
	t.Helper()
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	var stop atomic.Bool
	var succeeded, faults atomic.Int64
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for !stop.Load() {
				switch err := use(rng); {
				case err == nil:
					succeeded.Add(1)
				case errors.Is(err, core.ErrFault):
					faults.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	for i := 0; i < rounds || (succeeded.Load() == 0 || faults.Load() == 0) && !t.Failed(); i++ {
		size := []int64{8 * KiB, MiB}[i%2]
		check(t, os.Truncate(name, size))
		resized(size)
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d succeeded, %d faults", succeeded.Load(), faults.Load())
}

// The errors with which a file system refuses a store are faults that wrap them.
// Other refusals leave the store to the map.
func TestRefusedStores(t *testing.T) {
	for _, errno := range []error{sys.ErrNoSpace, syscall.EIO, syscall.EPERM, syscall.EINVAL, errors.ErrUnsupported} {
		for name, store := range copyingStores {
			f := storing(t, pattern(64*KiB, 1), core.Options{Offset: 100})
			failing(t, sys.OpPwrite, 0, errno)
			err := store(f, 9000)
			if sys.DiskError(errno) {
				wantFault(t, f, err, 9100, 9101)
				if !errors.Is(err, errno) {
					t.Errorf("%s: %v does not wrap %v", name, err, errno)
				}
			} else if err != nil {
				t.Errorf("%s, %v: %v", name, errno, err)
			}
			failing(t, "", 0, nil)
		}
	}
}

// A store to a hole of a full disk is a fault with the reason, and a store
// elsewhere succeeds.
func TestStoresOnAFullDisk(t *testing.T) {
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			dir := testutil.LoopDisk(t, 16*MiB, fstype)
			f, err := core.OpenFile(filepath.Join(dir, "sparse"), core.Options{Access: core.ReadWrite, Create: true, Sparse: true, Size: 8 * MiB})
			check(t, err)
			defer f.Close()
			check(t, f.Zero(0, 64*KiB))
			check(t, f.Flush())
			fill(t, dir)
			err = f.Zero(MiB, 4*MiB)
			wantFault(t, f, err, MiB, 5*MiB)
			if !errors.Is(err, sys.ErrNoSpace) {
				t.Errorf("%v does not wrap %v", err, sys.ErrNoSpace)
			}
			if fstype != "btrfs" { // which needs a new block for each
				check(t, f.Zero(0, 64*KiB))
			}
		})
	}
}

// Stores through the map and by system call, by several goroutines, each in
// bytes of its own of the same pages, with flushes and changes of the length
// between: no store is lost.
func TestMixedStores(t *testing.T) {
	const size = 64 * KiB
	for _, o := range []core.Options{{}, {Offset: 70_001}} {
		f := storing(t, pattern(size+int(o.Offset), 1), o)
		n := f.Len()
		var wg sync.WaitGroup
		var all [4][]byte
		for w := range all {
			all[w] = make([]byte, n)
			check(t, f.View(func(b []byte) error { copy(all[w], b); return nil }))
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(2, uint64(w)))
				for i := range 4000 {
					off := rng.Int64N(n/64)*64 + int64(w)*16 // 16 bytes of each 64
					if i%3 == 0 {
						off %= 4 * KiB // hot
					}
					if off+16 > n {
						continue
					}
					b := pattern(16, byte(rng.Uint32()))
					copy(all[w][off:], b)
					var err error
					switch rng.IntN(8) {
					case 0:
						err = f.Update(func(m []byte) error { copy(m[off:], b); return nil })
					case 1:
						err = core.PutSlice(f, off, binary.LittleEndian, b)
					case 2:
						err = second(f.WriteAtCall(b, off))
					case 3:
						err = errors.Join(second(f.WriteAt(b, off)), f.FlushRange(off, 16))
					default:
						err = second(f.WriteAt(b, off))
					}
					if w == 0 && i%500 == 0 {
						err = errors.Join(err, f.Truncate(o.Offset+n+int64(i)), f.Truncate(o.Offset+n))
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		got := contents(t, f)
		file, err := os.ReadFile(f.Name())
		check(t, err)
		for i := range got {
			w := min(i%64/16, len(all)-1)
			if got[i] != all[w][i] || file[int(o.Offset)+i] != got[i] {
				t.Fatalf("offset %d: got %d, in the file %d, want %d", i, got[i], file[int(o.Offset)+i], all[w][i])
			}
		}
	}
}

// A TryWriteAt stores only after a store that has made the page writable, and
// not after its flush.
func TestTryWriteAt(t *testing.T) {
	for _, o := range []core.Options{{}, {Stores: core.ViaMap}, {NoLock: true, Offset: 70_001}} {
		f := storing(t, pattern(256*KiB, 1), o)
		try := func(want bool) {
			t.Helper()
			ok, err := f.TryWriteAt([]byte("tried"), 5000)
			if err != nil || ok != want {
				t.Errorf("%+v: %v, %v, want %v", o, ok, err, want)
			}
		}
		try(false)
		for range 40 {
			check(t, second(f.WriteAtCall([]byte("stored"), 5000)))
		}
		if ok, err := f.TryWriteAt([]byte("tried"), 5000); err == nil && !ok {
			t.Log("a tick has passed")
			continue
		}
		check(t, f.FlushRange(5000, 1))
		try(false)
	}
}
