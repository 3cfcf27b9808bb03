package core_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// reading opens a file whose reads may be system calls. The test is skipped where
// they may not.
func reading(t testing.TB, b []byte, o core.Options) *core.File {
	t.Helper()
	f := opened(t, tempFile(t, b), o)
	if !sys.CanLoad(f.Fd()) {
		t.Skip("no file system here whose reads and mappings are known to be coherent")
	}
	return f
}

// copyingReads read the 8 bytes at off, and return them.
var copyingReads = map[string]func(f *core.File, off int64) ([]byte, error){
	"ReadAt": func(f *core.File, off int64) ([]byte, error) {
		b := make([]byte, 8)
		_, err := f.ReadAt(b, off)
		return b, err
	},
	"Get": func(f *core.File, off int64) ([]byte, error) {
		v, err := core.Get[uint64](f, off, binary.LittleEndian)
		return binary.LittleEndian.AppendUint64(nil, v), err
	},
	"Get, 128 bits": func(f *core.File, off int64) ([]byte, error) {
		v, err := core.Get[core.Uint128](f, off-8, binary.BigEndian)
		return binary.BigEndian.AppendUint64(nil, v.Lo), err
	},
	"GetSlice": func(f *core.File, off int64) ([]byte, error) {
		b := make([]byte, 8)
		return b, core.GetSlice(f, off, binary.LittleEndian, b)
	},
	"GetSlice, reversed": func(f *core.File, off int64) ([]byte, error) {
		v := make([]uint16, 4)
		err := core.GetSlice(f, off, binary.BigEndian, v)
		var b []byte
		for _, v := range v {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return b, err
	},
	"Read": func(f *core.File, off int64) ([]byte, error) {
		return readWith(f, off, func(r *core.Reader, b []byte) error { return second(io.ReadFull(r, b)) })
	},
	"Next": func(f *core.File, off int64) ([]byte, error) {
		return readWith(f, off, func(r *core.Reader, b []byte) error {
			v, err := core.Next[uint64](r, binary.LittleEndian)
			binary.LittleEndian.PutUint64(b, v)
			return err
		})
	},
	"ReadByte": func(f *core.File, off int64) ([]byte, error) {
		return readWith(f, off, func(r *core.Reader, b []byte) (err error) {
			for i := range b {
				if b[i], err = r.ReadByte(); err != nil {
					return err
				}
			}
			return nil
		})
	},
}

func readWith(f *core.File, off int64, do func(r *core.Reader, b []byte) error) ([]byte, error) {
	r, err := f.NewReader(off, 8)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 8)
	return b, do(r, b)
}

// The first read of a page is a system call, and most of those that follow are
// not; by ViaCall all are.
func TestFirstReadsAreSystemCalls(t *testing.T) {
	want := pattern(MiB, 1)
	for name, read := range copyingReads {
		for _, via := range []core.Via{core.ViaEither, core.ViaCall} {
			t.Run(fmt.Sprint(via, " ", name), func(t *testing.T) {
				f := reading(t, want, core.Options{Reads: via})
				calls := failing(t, sys.OpPread, -1, nil)
				for i := range 100 {
					got, err := read(f, 9000)
					if err != nil || !bytes.Equal(got, want[9000:9008]) {
						t.Fatalf("got %q, %v", got, err)
					}
					if i == 0 && calls() == 0 {
						t.Fatal("the first read was no system call")
					}
				}
				if n := calls(); via == core.ViaCall && n < 100 || via == core.ViaEither && n > 20 {
					t.Errorf("%d of 100 reads were system calls", n)
				}
			})
		}
	}
}

// Bytes that are not known to be in memory are brought in by a system call where a
// read may show others than the mapping, and loaded at once where that is asked
// for or they are memory.
func TestReadsThatAreNoReads(t *testing.T) {
	reading(t, pattern(64*KiB, 1), core.Options{})
	for name, c := range map[string]struct {
		open   func() (*core.File, error)
		brings bool
	}{
		"mapped":  {func() (*core.File, error) { return opening(t, core.Options{Reads: core.ViaMap}) }, false},
		"private": {func() (*core.File, error) { return opening(t, core.Options{Access: core.CopyOnWrite}) }, true},
		"private, by call": {func() (*core.File, error) {
			return opening(t, core.Options{Access: core.CopyOnWrite, Reads: core.ViaCall})
		}, true},
		"shared":    {func() (*core.File, error) { return core.NewShared("shared", 64*KiB, core.Options{}) }, true},
		"anonymous": {func() (*core.File, error) { return core.NewAnonymous(64*KiB, core.Options{}) }, false},
		"heap":      {func() (*core.File, error) { return core.NewMemory("heap", make([]byte, 64*KiB)), nil }, false},
	} {
		f, err := c.open()
		check(t, err)
		reads := failing(t, sys.OpPread, -1, nil)
		for what, read := range copyingReads {
			if _, err := read(f, 9000); err != nil {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		check(t, second(f.Clone()))
		if reads() > 0 {
			t.Errorf("%s: %d reads by system call", name, reads())
		}
		brings := failing(t, sys.OpMadvise, -1, nil)
		for i := range 16 { // those not seen yet
			check(t, second(f.ReadAt(make([]byte, 10), int64(i)*4*KiB)))
		}
		if !c.brings && brings() > 0 {
			t.Errorf("%s: %d pages were brought in by system calls", name, brings())
		}
		check(t, f.Close())
	}
}

// The stores of a private mapping are seen by its reads, whatever their way.
func TestReadsOfPrivateStores(t *testing.T) {
	for _, via := range []core.Via{core.ViaEither, core.ViaMap, core.ViaCall} {
		f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{Access: core.CopyOnWrite, Reads: via})
		check(t, second(f.WriteAt([]byte("12345678"), 9000)))
		for name, read := range copyingReads {
			if got, err := read(f, 9000); err != nil || string(got) != "12345678" {
				t.Errorf("%v, %s: %q, %v", via, name, got, err)
			}
		}
	}
}

// What another process has cut off is a fault, and behind the new end the last
// page has zeros, by whatever way it is read, and however often.
func TestReadsBehindANewEnd(t *testing.T) {
	for _, via := range []core.Via{core.ViaEither, core.ViaMap, core.ViaCall} {
		for name, read := range copyingReads {
			t.Run(fmt.Sprint(via, " ", name), func(t *testing.T) {
				f := shortened(t, core.Options{Reads: via})
				check(t, os.Truncate(f.Name(), 3000))
				for range 3 {
					_, err := read(f, 9000)
					wantFault(t, f, err, 8192, 9008)
					got, err := read(f, 2996)
					if want := append(pattern(MiB, 1)[2996:3000:3000], 0, 0, 0, 0); err != nil || !bytes.Equal(got, want) {
						t.Errorf("got %q, want %q, %v", got, want, err)
					}
				}
				_, err := f.Clone()
				wantFault(t, f, err, 4096, MiB)
			})
		}
	}
}

// What a system call is refused is copied from the map. If it cannot be brought in
// either, it is a fault, which wraps the error of a failing device.
func TestRefusedReads(t *testing.T) {
	testutil.RequireDescriptors(t, 150)
	want := pattern(64*KiB, 1)
	for _, errno := range []error{syscall.EIO, syscall.EPERM, syscall.EINVAL, errors.ErrUnsupported} {
		for name, read := range copyingReads {
			for _, lost := range []bool{false, true} {
				f := reading(t, want, core.Options{Offset: 100})
				restore := sys.Inject(func(op sys.Op) error {
					switch {
					case op == sys.OpPread:
						return errno
					case op == sys.OpMadvise && lost:
						return sys.ErrFault
					}
					return nil
				})
				got, err := read(f, 9000)
				restore()
				switch {
				case lost:
					wantFault(t, f, err, 9092, 9101)
					if sys.DiskError(errno) && !errors.Is(err, errno) {
						t.Errorf("%s: %v does not wrap %v", name, err, errno)
					}
				case err != nil || !bytes.Equal(got, want[9100:9108]):
					t.Errorf("%s, %v: %q, %v", name, errno, got, err)
				}
			}
		}
	}
}

// A copy of the map into itself is that of copy, also where the two overlap.
func TestReadIntoTheMapItself(t *testing.T) {
	for _, via := range []core.Via{core.ViaEither, core.ViaMap, core.ViaCall} {
		want := pattern(64*KiB, 1)
		f := opened(t, tempFile(t, want), core.Options{Access: core.ReadWrite, Reads: via})
		check(t, f.Update(func(b []byte) error { return second(f.ReadAt(b[5000:30_000], 4000)) }))
		copy(want[5000:30_000], want[4000:])
		if !bytes.Equal(contents(t, f), want) {
			t.Errorf("%v: other bytes", via)
		}
	}
}

// Reads by each way show what was stored before, by the map and by system calls,
// while the file grows and shrinks, and its pages are dropped.
func TestReadsSeeAllStores(t *testing.T) {
	for _, o := range []core.Options{{}, {Reads: core.ViaCall}, {Reads: core.ViaMap}, {Offset: 70_001}, {NoLock: true, Stores: core.ViaCall}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			o.Access = core.ReadWrite
			seed := testutil.Seed(t)
			rng := rand.New(rand.NewPCG(seed, 1))
			f := opened(t, tempFile(t, pattern(MiB, 1)), o)
			want := contents(t, f)
			for range 5000 {
				size := int64(len(want))
				off := rng.Int64N(size - 8)
				n := min(1+rng.Int64N(1<<rng.IntN(18)), size-off)
				switch rng.IntN(8) {
				case 0:
					b := pattern(int(n), byte(rng.Uint32()))
					copy(want[off:], b)
					check(t, f.Update(func(m []byte) error { copy(m[off:], b); return nil }))
				case 1:
					b := pattern(int(n), byte(rng.Uint32()))
					copy(want[off:], b)
					check(t, second(f.WriteAt(b, off)))
				case 2:
					if rng.IntN(20) > 0 {
						continue
					}
					more := 64*KiB + rng.IntN(2*MiB)
					want = append(want[:min(len(want), more)], make([]byte, max(more-len(want), 0))...)
					check(t, f.Truncate(o.Offset+int64(more)))
				case 3:
					check(t, f.Flush())
					check(t, f.Advise(core.AdviceDontNeed, 0, size))
				default:
					b := make([]byte, n)
					if got, err := f.ReadAt(b, off); int64(got) != n || err != nil || !bytes.Equal(b, want[off:off+n]) {
						t.Fatalf("%d of %d bytes at %d, %v, or other ones", got, n, off, err)
					}
					v, err := core.Get[uint64](f, off, binary.LittleEndian)
					if err != nil || v != binary.LittleEndian.Uint64(want[off:]) {
						t.Fatalf("Get at %d: %v", off, err)
					}
				}
			}
			if got, err := f.Clone(); err != nil || !bytes.Equal(got, want) {
				t.Errorf("Clone: other bytes, %v", err)
			}
			var b bytes.Buffer
			if _, err := reader(t, f, 0, int64(len(want))).WriteTo(&b); err != nil || !bytes.Equal(b.Bytes(), want) {
				t.Errorf("WriteTo: other bytes, %v", err)
			}
		})
	}
}

// A neighbor that does not mind the lock cuts the file and lets it grow under
// readers. Reads return what the file had at some moment, or are faults.
func TestANeighborResizesUnderReaders(t *testing.T) {
	needsCutting(t)
	for _, via := range []core.Via{core.ViaEither, core.ViaMap, core.ViaCall} {
		t.Run(via.String(), func(t *testing.T) {
			want := pattern(MiB, 1)
			name := tempFile(t, want)
			f := opened(t, name, core.Options{Reads: via})
			whileResized(t, name, func(rng *rand.Rand) error {
				b, off := make([]byte, 100), rng.Int64N(MiB-100)
				if _, err := f.ReadAt(b, off); err != nil {
					return err
				}
				for i, c := range b {
					if c != 0 && c != want[off+int64(i)] {
						return fmt.Errorf("offset %d: %d, want %d or 0", off+int64(i), c, want[off+int64(i)])
					}
				}
				return nil
			}, func(int64) {})
		})
	}
}

// A long read of what has to be brought in copies each chunk before it brings in
// the next, so that no more than a chunk has to stay in memory. A copy of the map
// into itself is still that of copy.
func TestLongReadsBringInChunks(t *testing.T) {
	const size = 8 * MiB
	want := pattern(size, 1)
	for _, c := range []struct {
		name string
		read func(f *core.File, b []byte) error
	}{
		{"ReadAt", func(f *core.File, b []byte) error { return second(f.ReadAt(b, 0)) }},
		{"GetSlice", func(f *core.File, b []byte) error { return core.GetSlice(f, 0, binary.LittleEndian, b) }},
	} {
		f := opened(t, tempFile(t, want), core.Options{Access: core.CopyOnWrite})
		b, brought := make([]byte, size), 0
		restore := sys.Inject(func(op sys.Op) error {
			if op == sys.OpMadvise {
				if !bytes.Equal(b[:brought*MiB], want[:brought*MiB]) {
					t.Errorf("%s: chunk %d is brought in before those in front of it are copied", c.name, brought)
				}
				brought++
			}
			return nil
		})
		err := c.read(f, b)
		restore()
		if err != nil || !bytes.Equal(b, want) || brought != size/MiB {
			t.Errorf("%s: %v, brought in by %d calls, want %d, or other bytes", c.name, err, brought, size/MiB)
		}
	}
	f := opened(t, tempFile(t, want), core.Options{Access: core.CopyOnWrite, Reads: core.ViaCall})
	check(t, f.Update(func(b []byte) error { return second(f.ReadAt(b[5000:7*MiB], 4000)) }))
	copy(want[5000:7*MiB], want[4000:])
	if !bytes.Equal(contents(t, f), want) {
		t.Error("a copy of the map into itself has other bytes")
	}
}
