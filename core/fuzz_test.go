package core_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/lock"
)

// FuzzOptions opens a file with any options and ranges. It must not panic, and
// what is refused must leave the file as it was.
func FuzzOptions(f *testing.F) {
	f.Add(uint8(1), uint8(0), int64(0), int64(0), int64(0), int64(0), uint32(0), int64(0), int64(10))
	f.Add(uint8(1), uint8(7), int64(5000), int64(100), int64(900), int64(1), uint32(0o600), int64(5), int64(1<<62))
	f.Add(uint8(2), uint8(32), int64(-1), int64(1<<62), int64(1<<62), int64(-5), uint32(1<<31), int64(-5), int64(-1))
	want := pattern(10_000, 1)
	f.Fuzz(func(t *testing.T, access, bits uint8, size, offset, length, reserve int64, perm uint32, off, n int64) {
		if size > MiB && size < 1<<50 {
			size %= MiB // not to fill the disk
		}
		bit := func(i int) bool { return bits&(1<<i) != 0 }
		name := tempFile(t, want)
		file, err := core.OpenFile(name, core.Options{
			Access: core.Access(access), Create: bit(0), Exclusive: bit(1), Truncate: bit(2), Sparse: bit(3), Populate: bit(4),
			Stack: bit(5), NoLock: bit(6), HugePages: bit(7), Size: size, Offset: offset, Length: length, Reserve: reserve, Perm: fs.FileMode(perm),
		})
		if err != nil {
			// Truncate empties the file before the disk is asked for blocks;
			// but not before the options are known to be good.
			emptied := bit(2) && !refusedByItself(err)
			if got, rerr := os.ReadFile(name); rerr != nil || !bytes.Equal(got, want) && !emptied {
				t.Fatalf("refused with %v, and the file changed (%v)", err, rerr)
			}
			if names := entries(t, filepath.Dir(name)); len(names) != 1 {
				t.Fatalf("refused with %v, and the directory has %v", err, names)
			}
			return
		}
		defer file.Close()
		if p, err := file.Pin(off, n); err == nil {
			if p.Len() != n || off < 0 || off+n > file.Len() {
				t.Errorf("pinned [%d, +%d) of %d bytes", off, n, file.Len())
			}
			p.Release()
		}
		_ = file.FlushRange(off, n)
		_ = file.Advise(core.Advice(access), off, n)
		_ = file.Populate(off, n)
		if size = off; size < MiB {
			_ = file.Truncate(size)
		}
		_, _ = file.ReadAt(make([]byte, 10), off)
		_, _ = file.WriteAt(make([]byte, 10), off)
	})
}

// refusedByItself reports whether err is about the request itself, and not about
// what the system was able to do.
func refusedByItself(err error) bool {
	for _, is := range []error{core.ErrRange, core.ErrReadOnly, fs.ErrInvalid, fs.ErrExist, lock.ErrLocked} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// FuzzCursor reads the bytes of the input as a program for a Reader, and for
// the bytes.Reader that it must behave like.
func FuzzCursor(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), int64(3), int64(10), []byte{0, 5, 1, 2, 3, 200, 4, 5, 6})
	f.Add([]byte{}, int64(0), int64(0), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte, off, n int64, program []byte) {
		file := core.NewMemory("m", bytes.Clone(b))
		defer file.Close()
		r, err := file.NewReader(off, n)
		if ok := off >= 0 && n >= 0 && off <= int64(len(b)) && n <= int64(len(b))-off; ok != (err == nil) {
			t.Fatalf("[%d, +%d) of %d bytes: %v", off, n, len(b), err)
		}
		if err != nil {
			return
		}
		model := bytes.NewReader(b[off : off+n])
		for i, op := range program {
			switch arg := int64(op >> 2); op % 4 {
			case 0:
				p, q := make([]byte, arg), make([]byte, arg)
				gn, gerr := r.Read(p)
				wn, werr := model.Read(q)
				if gn != wn || gerr != werr || !bytes.Equal(p, q) {
					t.Fatalf("step %d: Read(%d) gave %d, %v; want %d, %v", i, arg, gn, gerr, wn, werr)
				}
			case 1:
				gc, gerr := r.ReadByte()
				wc, werr := model.ReadByte()
				if gc != wc || gerr != werr {
					t.Fatalf("step %d: ReadByte gave %d, %v; want %d, %v", i, gc, gerr, wc, werr)
				}
			case 2:
				gn, gerr := r.Seek(arg-32, int(op>>2)%4)
				wn, werr := model.Seek(arg-32, int(op>>2)%4)
				if gn != wn || (gerr == nil) != (werr == nil) {
					t.Fatalf("step %d: Seek gave %d, %v; want %d, %v", i, gn, gerr, wn, werr)
				}
			default:
				var g, w bytes.Buffer
				if arg%2 == 0 {
					gerr, werr := r.UnreadByte(), model.UnreadByte()
					if (gerr == nil) != (werr == nil) {
						t.Fatalf("step %d: UnreadByte gave %v; want %v", i, gerr, werr)
					}
				} else {
					_, gerr := io.Copy(&g, r)
					_, werr := io.Copy(&w, model)
					if gerr != werr || !bytes.Equal(g.Bytes(), w.Bytes()) {
						t.Fatalf("step %d: WriteTo differs", i)
					}
				}
			}
			if r.Len() != int64(model.Len()) {
				t.Fatalf("step %d: %d left, want %d", i, r.Len(), model.Len())
			}
		}
	})
}

// FuzzWriter reads the bytes of the input as a program for a Writer, and for
// the slice that it must be as good as.
func FuzzWriter(f *testing.F) {
	f.Add(int64(3), int64(10), []byte{0, 5, 1, 2, 3, 200, 4, 5, 6, 61, 62, 63})
	f.Add(int64(0), int64(64), []byte{255, 254, 253, 8, 9, 10})
	f.Fuzz(func(t *testing.T, off, n int64, program []byte) {
		const size = 64
		model, pos := make([]byte, size), int64(0)
		file := core.NewMemory("m", make([]byte, size))
		defer file.Close()
		w, err := file.NewWriter(off, n)
		if ok := off >= 0 && n >= 0 && off <= size && n <= size-off; ok != (err == nil) {
			t.Fatalf("[%d, +%d) of %d bytes: %v", off, n, size, err)
		}
		if err != nil {
			return
		}
		for i, op := range program {
			arg := int64(op >> 2)
			data := bytes.Repeat([]byte{op | 1}, int(arg))
			left := max(n-pos, 0)
			var wrote, want int64
			var err error
			switch op % 4 {
			case 0: // as much as fits
				var m int
				m, err = w.Write(data)
				wrote, want = int64(m), min(arg, left)
			case 1: // all, or nothing
				if err = core.PutNext(w, binary.BigEndian, uint32(op)); err == nil {
					wrote = 4
				}
				if data = []byte{0, 0, 0, op}; left >= 4 {
					want = 4
				}
			case 2:
				wrote, err = w.ReadFrom(bytes.NewReader(data))
				want = min(arg, left)
			default:
				pos, err = w.Seek(arg-8, int(op>>2)%3)
				if err != nil {
					pos, err = w.Seek(0, io.SeekCurrent)
				}
				data = nil
			}
			if wrote != want || (err == nil) != (want == int64(len(data))) || err != nil && !errors.Is(err, core.ErrRange) {
				t.Fatalf("step %d: wrote %d of %d bytes at %d of %d, want %d: %v", i, wrote, len(data), pos, n, want, err)
			}
			if want > 0 {
				copy(model[off+pos:], data[:want])
			}
			pos += want
			if got := contents(t, file); !bytes.Equal(got, model) || w.Len() != max(n-pos, 0) {
				t.Fatalf("step %d: %x, %d left, want %x, %d", i, got, w.Len(), model, max(n-pos, 0))
			}
		}
	})
}

// FuzzValues stores and loads at any offset, against encoding/binary.
func FuzzValues(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123"), int64(2), uint64(0x0102030405060708), true)
	f.Add([]byte("short"), int64(-1), uint64(1), false)
	f.Fuzz(func(t *testing.T, b []byte, off int64, v uint64, big bool) {
		var order interface {
			binary.ByteOrder
			binary.AppendByteOrder
		} = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		file := core.NewMemory("m", bytes.Clone(b))
		defer file.Close()
		for width, put := range map[int64]func() error{
			8: func() error { return core.Put(file, off, order, v) },
			4: func() error { return core.Put(file, off, order, float32(v)) },
			2: func() error { return core.Put(file, off, order, uint16(v)) },
			1: func() error { return core.Put(file, off, order, int8(v)) },
		} {
			fits := off >= 0 && off <= int64(len(b))-width
			if err := put(); fits != (err == nil) {
				t.Fatalf("%d bytes at %d of %d: %v", width, off, len(b), err)
			}
		}
		if off < 0 || off > int64(len(b))-8 {
			return
		}
		if err := core.Put(file, off, order, v); err != nil {
			t.Fatal(err)
		}
		got, err := core.Get[uint64](file, off, order)
		all := contents(t, file)
		if got != v || err != nil || order.Uint64(all[off:]) != v || !bytes.Equal(all[:off], b[:off]) {
			t.Fatalf("got %x, %v, want %x", got, err, v)
		}
	})
}
