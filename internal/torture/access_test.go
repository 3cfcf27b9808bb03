package torture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/fmmap-go/fmmap/core"
)

// A user uses the victim of an attack until it stops, in one goroutine.
type user struct {
	*attack
	id     int
	rnd    *rand.Rand
	writes bool
	buf    []byte
	file   *os.File // of its own, to copy to and from
}

var bg = context.Background()

func (u *user) run() {
	name := filepath.Join(u.dir, fmt.Sprint("user", u.id))
	var err error
	if u.file, err = os.Create(name); err == nil {
		err = u.file.Truncate(1) // longer when there is something to copy
	}
	if err != nil {
		u.record("a file of the user's own", err)
		return
	}
	defer os.Remove(name)
	defer u.file.Close()
	for {
		select {
		case <-u.over:
			return
		default:
		}
		a := &accesses[u.rnd.IntN(len(accesses))]
		if a.stores != u.writes || a.slow && u.rnd.IntN(20) > 0 {
			continue
		}
		off := u.rnd.Int64N(full)
		n := min(u.rnd.Int64N(int64(len(u.buf))), full-off)
		u.record(a.name, a.do(u, u.now.Load(), off, n))
	}
}

// errForeign reports bytes that were never stored.
var errForeign = errors.New("the bytes are not the file's")

// genuine checks bytes that were read at off: only letters and zeros are
// stored.
func (v *victim) genuine(b []byte, off int64) error {
	for i, c := range b {
		if c != 0 && c != letter(off+int64(i), v.salt) {
			return fmt.Errorf("%w: %d at %d, want %d or 0", errForeign, c, off+int64(i), letter(off+int64(i), v.salt))
		}
	}
	return nil
}

// store puts letters into bytes at off.
func (v *victim) store(b []byte, off int64) {
	for i := range b {
		b[i] = letter(off+int64(i), v.salt)
	}
}

// letters are n bytes for off in the user's buffer.
func (u *user) letters(v *victim, off, n int64) []byte {
	v.store(u.buf[:n], off)
	return u.buf[:n]
}

// accesses are all the ways to the bytes of a file.
var accesses = []struct {
	name                 string
	stores, faults, slow bool
	do                   func(u *user, v *victim, off, n int64) error
}{
	{"View", false, true, false, func(u *user, v *victim, off, n int64) error {
		return v.Core().View(func(b []byte) error {
			off := min(off, int64(len(b)))
			return v.genuine(b[off:min(off+n, int64(len(b)))], off)
		})
	}},
	{"ReadAt", false, true, false, func(u *user, v *victim, off, n int64) error {
		m, err := v.Core().ReadAt(u.buf[:n], off)
		return either(err, v.genuine(u.buf[:m], off))
	}},
	{"Pin.Do", false, true, false, func(u *user, v *victim, off, n int64) error {
		return u.pinned(v, off, n, func(p *core.Pin) error {
			return p.Do(func(b []byte) error { return v.genuine(b, off) })
		})
	}},
	{"At and Slice", false, true, false, func(u *user, v *victim, off, n int64) error {
		off, n = off&^7, n&^7
		return u.pinned(v, off, n, func(p *core.Pin) error {
			return p.Do(func(b []byte) error {
				words, err := core.Slice[uint64](p, 0, int(n/8))
				if err != nil {
					return err
				}
				for i, w := range words {
					if err := v.genuine(binary.NativeEndian.AppendUint64(nil, w), off+8*int64(i)); err != nil {
						return err
					}
				}
				if n == 0 {
					return nil
				}
				c, err := core.At[byte](p, n-1)
				if err != nil {
					return err
				}
				return v.genuine([]byte{*c}, off+n-1)
			})
		})
	}},
	{"Get", false, true, false, func(u *user, v *victim, off, n int64) error {
		w, err := core.Get[uint64](v.Core(), off, binary.LittleEndian)
		return either(err, v.genuine(binary.LittleEndian.AppendUint64(nil, w), off))
	}},
	{"Reader.Read", false, true, false, func(u *user, v *victim, off, n int64) error {
		r, err := v.Core().NewReader(off, n)
		if err != nil {
			return err
		}
		for at := off; err == nil; {
			var m int
			m, err = r.Read(u.buf[:min(5000, len(u.buf))])
			err = either(err, v.genuine(u.buf[:m], at))
			at += int64(m)
		}
		return ended(err)
	}},
	{"Reader.WriteTo memory", false, true, false, func(u *user, v *victim, off, n int64) error {
		var b bytes.Buffer
		return either(u.writeTo(v, off, n, &b), v.genuine(b.Bytes(), off))
	}},
	{"Reader.WriteTo a file", false, true, false, func(u *user, v *victim, off, n int64) error {
		if err := second(u.file.Seek(0, io.SeekStart)); err != nil {
			return err
		}
		err := u.writeTo(v, off, n, u.file)
		m, serr := u.file.Seek(0, io.SeekCurrent)
		return either(err, either(serr, either(second(u.file.ReadAt(u.buf[:m], 0)), v.genuine(u.buf[:m], off))))
	}},
	{"Clone", false, true, false, func(u *user, v *victim, off, n int64) error {
		b, err := v.Core().Clone()
		return either(err, v.genuine(b, 0))
	}},
	{"CopyTo", false, true, true, func(u *user, v *victim, off, n int64) error {
		name := u.file.Name() + ".copy"
		return either(v.Core().CopyTo(name, off, n), u.taken(v, name, off))
	}},
	{"Populate", false, true, false, func(u *user, v *victim, off, n int64) error { return v.Core().Populate(off, n) }},
	{"Pin.Populate", false, true, false, func(u *user, v *victim, off, n int64) error {
		return u.pinned(v, off, n, (*core.Pin).Populate)
	}},
	{"Resident", false, false, false, func(u *user, v *victim, off, n int64) error {
		pages, of, err := v.Core().Resident(off, n)
		if pages > of {
			err = fmt.Errorf("%d of %d pages are resident", pages, of)
		}
		return err
	}},
	{"Advise", false, false, false, func(u *user, v *victim, off, n int64) error {
		return v.Core().Advise([]core.Advice{core.AdviceWillNeed, core.AdviceDontNeed}[n%2], off, n)
	}},
	{"another File", false, true, false, func(u *user, v *victim, off, n int64) error {
		f, err := core.OpenFile(u.name, core.Options{NoLock: true, Populate: n%2 == 0})
		if err != nil {
			return err
		}
		return either(second(f.Clone()), f.Close())
	}},
	{"async ReadAt", false, true, false, func(u *user, v *victim, off, n int64) error {
		m, err := v.ReadAt(bg, u.buf[:n], off).Await(bg)
		return either(err, v.genuine(u.buf[:m], off))
	}},
	{"async Load", false, true, false, func(u *user, v *victim, off, n int64) error {
		p, err := v.Load(bg, off, n).Await(bg)
		if err != nil {
			return err
		}
		defer p.Release()
		return p.Do(func(b []byte) error { return v.genuine(b, off) })
	}},
	{"async PageIn", false, true, false, func(u *user, v *victim, off, n int64) error { return v.PageIn(bg, off, n).Wait() }},
	{"async Stream", false, true, false, func(u *user, v *victim, off, n int64) error {
		for p, err := range v.Stream(bg, off, n, 10_000, 2) {
			if err == nil {
				err = p.Do(func(b []byte) error { return v.genuine(b, p.Offset()) })
			}
			if err != nil {
				return err
			}
		}
		return nil
	}},
	{"async CopyTo", false, true, true, func(u *user, v *victim, off, n int64) error {
		name := u.file.Name() + ".copy"
		return either(v.CopyTo(bg, name, off, n).Wait(), u.taken(v, name, off))
	}},

	{"Update", true, true, false, func(u *user, v *victim, off, n int64) error {
		return v.Core().Update(func(b []byte) error {
			off := min(off, int64(len(b)))
			v.store(b[off:min(off+n, int64(len(b)))], off)
			return nil
		})
	}},
	{"WriteAt", true, true, false, func(u *user, v *victim, off, n int64) error {
		return second(v.Core().WriteAt(u.letters(v, off, n), off))
	}},
	{"Put", true, true, false, func(u *user, v *victim, off, n int64) error {
		if off > full-8 {
			off = full - 8
		}
		return core.Put(v.Core(), off, binary.LittleEndian, binary.LittleEndian.Uint64(u.letters(v, off, 8)))
	}},
	{"Writer.Write", true, true, false, func(u *user, v *victim, off, n int64) error {
		w, err := v.Core().NewWriter(off, n)
		if err != nil {
			return err
		}
		return second(w.Write(u.letters(v, off, n)))
	}},
	{"Writer.ReadFrom memory", true, true, false, func(u *user, v *victim, off, n int64) error {
		return u.readFrom(v, off, n, bytes.NewReader(u.letters(v, off, n)))
	}},
	{"Writer.ReadFrom a file", true, true, false, func(u *user, v *victim, off, n int64) error {
		err := u.file.Truncate(0)
		if err == nil {
			_, err = u.file.WriteAt(u.letters(v, off, n), 0)
		}
		if err == nil {
			_, err = u.file.Seek(0, io.SeekStart)
		}
		return either(err, u.readFrom(v, off, n, u.file))
	}},
	{"Zero", true, true, false, func(u *user, v *victim, off, n int64) error { return v.Core().Zero(off, n) }},
	{"PunchHole", true, false, false, func(u *user, v *victim, off, n int64) error { return v.Core().PunchHole(off, n) }},
	{"async WriteAt", true, true, false, func(u *user, v *victim, off, n int64) error {
		return second(v.WriteAt(bg, u.letters(v, off, n), off).Await(bg))
	}},
	{"FlushRange", true, false, true, func(u *user, v *victim, off, n int64) error { return v.Core().FlushRange(off, n) }},
	{"StartWriteback", true, false, true, func(u *user, v *victim, off, n int64) error { return v.Core().StartWriteback(off, n) }},
	{"async FlushRange", true, false, true, func(u *user, v *victim, off, n int64) error { return v.FlushRange(off, n).Wait() }},
	{"async Flush", true, false, true, func(u *user, v *victim, off, n int64) error { return v.Flush().Wait() }},
}

// either is the first error of two, that of a check only when there was
// something to check.
func either(err, then error) error {
	if errors.Is(then, errForeign) || err == nil {
		return then
	}
	return err
}

// ended is no error at the end of a range.
func ended(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func (u *user) pinned(v *victim, off, n int64, do func(p *core.Pin) error) error {
	p, err := v.Core().Pin(off, n)
	if err != nil {
		return err
	}
	defer p.Release()
	return do(p)
}

func (u *user) writeTo(v *victim, off, n int64, w io.Writer) error {
	r, err := v.Core().NewReader(off, n)
	if err != nil {
		return err
	}
	return second(r.WriteTo(w))
}

func (u *user) readFrom(v *victim, off, n int64, r io.Reader) error {
	w, err := v.Core().NewWriter(off, n)
	if err != nil {
		return err
	}
	return second(w.ReadFrom(r))
}

// taken checks a copy and removes it. There need not be one.
func (u *user) taken(v *victim, name string, off int64) error {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return either(err, either(os.Remove(name), v.genuine(b, off)))
}
