package core_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// shortened returns a mapped file that has been shortened to one page since.
func shortened(t testing.TB, o core.Options) *core.File {
	t.Helper()
	needsCutting(t)
	name := tempFile(t, pattern(MiB, 1))
	f := opened(t, name, o)
	check(t, os.Truncate(name, 4*KiB))
	return f
}

// wantFault checks that err is a fault that names the file and an offset in
// [from, to).
func wantFault(t testing.TB, f *core.File, err error, from, to int64) {
	t.Helper()
	var fault *core.FaultError
	var path *fs.PathError
	switch {
	case !errors.Is(err, core.ErrFault) || !errors.As(err, &fault) || !errors.As(err, &path):
		t.Errorf("got %v, want a fault", err)
	case path.Path != f.Name() || fault.Offset < from || fault.Offset >= to:
		t.Errorf("%v: want file %s and an offset in [%d, %d)", err, f.Name(), from, to)
	}
}

func TestFaultsBecomeErrors(t *testing.T) {
	f := shortened(t, core.Options{Access: core.ReadWrite})
	p := pinned(t, f, MiB-8*KiB, 8*KiB)
	buf := make([]byte, 8*KiB)
	r, w := reader(t, f, 64*KiB, 8*KiB), writer(t, f, 64*KiB, 8*KiB)
	for _, c := range []struct {
		name string
		err  func() error
		from int64
	}{
		{"View", func() error {
			return f.View(func(b []byte) error { _ = b[MiB-1] + b[0]; buf[0] = b[MiB-1]; return nil })
		}, MiB - 4*KiB},
		{"Update", func() error { return f.Update(func(b []byte) error { b[100*KiB] = 1; return nil }) }, 100 * KiB},
		{"ReadAt", func() error { return second(f.ReadAt(buf, 64*KiB)) }, 64 * KiB},
		{"WriteAt", func() error { return second(f.WriteAt(buf, 64*KiB)) }, 64 * KiB},
		{"Get", func() error { return second(core.Get[uint16](f, 64*KiB, binary.BigEndian)) }, 64 * KiB},
		{"Put", func() error { return core.Put(f, 64*KiB, binary.BigEndian, core.Uint128{Hi: 1}) }, 64 * KiB},
		{"GetSlice", func() error { return core.GetSlice(f, 64*KiB, binary.LittleEndian, make([]uint32, 100)) }, 64 * KiB},
		{"PutSlice", func() error { return core.PutSlice(f, 64*KiB, binary.BigEndian, make([]uint32, 100)) }, 64 * KiB},
		{"Next", func() error { return second(core.Next[float64](r, binary.LittleEndian)) }, 64 * KiB},
		{"PutNext", func() error { return core.PutNext(w, binary.LittleEndian, 1) }, 64 * KiB},
		{"Zero", func() error { return f.Zero(64*KiB, 8*KiB) }, 64 * KiB},
		{"Reader.Read", func() error { return second(r.Read(buf)) }, 64 * KiB},
		{"Reader.ReadByte", func() error { return second(r.ReadByte()) }, 64 * KiB},
		{"Reader.WriteTo", func() error {
			return second(r.WriteTo(writerFunc(func(b []byte) (int, error) { return copy(buf, b), nil })))
		}, 64 * KiB},
		{"Writer.Write", func() error { return second(w.Write(buf)) }, 64 * KiB},
		{"Writer.WriteString", func() error { return second(w.WriteString("string")) }, 64 * KiB},
		{"Writer.ReadFrom", func() error {
			return second(w.ReadFrom(readerFunc(func(b []byte) (int, error) { return copy(b, buf), io.EOF })))
		}, 64 * KiB},
		{"Pin.Do", func() error { return p.Do(func(b []byte) error { copy(buf, b); return nil }) }, MiB - 8*KiB},
		{"Populate", func() error { return f.Populate(64*KiB, 4*KiB) }, 64 * KiB},
		{"Pin.Populate", func() error { return p.Populate() }, MiB - 8*KiB},
	} {
		t.Run(c.name, func(t *testing.T) { wantFault(t, f, c.err(), c.from, c.from+8*KiB) })
	}
	if _, err := f.Clone(); !errors.Is(err, core.ErrFault) {
		t.Errorf("Clone: %v", err)
	}
	if r.Len() != 8*KiB || w.Len() != 8*KiB {
		t.Errorf("%d bytes are left to read and %d to write, though none was", r.Len(), w.Len())
	}
	// What is left of the file is as good as ever.
	got := make([]byte, 4*KiB)
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != string(pattern(4*KiB, 1)) {
		t.Errorf("reading what is left: %v", err)
	}
}

func TestFaultCausedByAnotherProcess(t *testing.T) {
	truncate := testutil.RequireTool(t, "truncate", "-s", "0", tempFile(t, nil))
	name := tempFile(t, pattern(MiB, 2))
	f := opened(t, name, core.Options{})
	err := f.View(func(b []byte) error {
		if out, err := exec.Command(truncate, "-s", "0", name).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		sum := 0
		for _, c := range b {
			sum += int(c)
		}
		t.Errorf("read %d from a file that has nothing", sum)
		return nil
	})
	wantFault(t, f, err, 0, 4*KiB)
	if n, err := f.Refresh(); n != 0 || err != nil {
		t.Errorf("Refresh: %d, %v", n, err)
	}
}

func TestFaultOffsetIsTheFiles(t *testing.T) {
	needsCutting(t)
	name := tempFile(t, pattern(MiB, 3))
	f := opened(t, name, core.Options{Offset: 70_001, Length: 500_000})
	check(t, os.Truncate(name, 0))
	err := f.View(func(b []byte) error { _ = string(b[100_000:100_001]); return nil })
	wantFault(t, f, err, 170_001, 170_002)
}

// A panic that is not the file's fault passes through with its value, and its
// trace still shows where it came from.
func TestOtherPanicsPassThrough(t *testing.T) {
	f := opened(t, tempFile(t, pattern(MiB, 4)), core.Options{Access: core.ReadWrite})
	other := shortened(t, core.Options{})
	foreign := pinned(t, other, 64*KiB, 4*KiB)
	p := pinned(t, f, 0, 10)
	var nothing *int
	boom := errors.New("boom")
	for _, access := range []struct {
		name string
		do   func(func([]byte) error) error
	}{{"View", f.View}, {"Update", f.Update}, {"Do", p.Do}} {
		for _, c := range []struct {
			name string
			fn   func([]byte) error
			want string
		}{
			{"value", func([]byte) error { panic(boom) }, "boom"},
			{"index", func(b []byte) error { b[len(b)] = 1; return nil }, "index out of range"},
			{"nil", func([]byte) error { *nothing = 1; return nil }, "nil pointer"},
			{"another file", func([]byte) error { _ = string(foreign.Bytes()[:1]); return nil }, "invalid memory address"},
		} {
			t.Run(access.name+"/"+c.name, func(t *testing.T) {
				defer func() {
					err, _ := recover().(error)
					if err == nil || !strings.Contains(err.Error(), c.want) {
						t.Fatalf("recovered %v, want %s", err, c.want)
					}
					if c.name == "value" && err != boom {
						t.Error("the value is another one")
					}
				}()
				t.Errorf("returned %v", access.do(c.fn))
			})
		}
	}
	check(t, f.Truncate(1<<10)) // nothing was left entered
}

func TestErrorOfTheCallbackComesBackAsItIs(t *testing.T) {
	f := core.NewMemory("m", make([]byte, 10))
	mine := errors.New("mine")
	for name, err := range map[string]error{
		"View":   f.View(func([]byte) error { return mine }),
		"Update": f.Update(func([]byte) error { return mine }),
	} {
		if err != mine {
			t.Errorf("%s returned %v", name, err)
		}
	}
}

// The last byte of a window that neither begins nor ends with a page is
// guarded, and nothing beside the region is.
func TestEdgesOfTheGuardedRegion(t *testing.T) {
	needsCutting(t)
	for _, length := range []int64{500_000, 495_616 - 70_001%4096, 1} {
		name := tempFile(t, pattern(MiB, 3))
		f := opened(t, name, core.Options{Offset: 70_001, Length: length, Reserve: 1})
		check(t, os.Truncate(name, 0))
		err := f.View(func(b []byte) error { _ = string(b[length-1:]); return nil })
		wantFault(t, f, err, 70_000+length, 70_001+length)
		for _, c := range []struct {
			name string
			at   func(size int64) int64
			want bool
		}{
			{"before the first byte", func(int64) int64 { return -1 }, false},
			{"the first byte", func(int64) int64 { return 0 }, true},
			{"the last byte", func(size int64) int64 { return size - 1 }, true},
			{"behind the last byte", func(size int64) int64 { return size }, false},
		} {
			if got := core.RegionContains(f, c.at); got != c.want {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
}

// A system call that is refused lost bytes names what it was for. The error
// that comes back names the mapped file, and wraps the one of the call.
func TestSystemCallsOnLostBytes(t *testing.T) {
	f := shortened(t, core.Options{Access: core.ReadWrite})
	p := pinned(t, f, 64*KiB, 8*KiB)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	check(t, err)
	defer out.Close()
	conn := accepted(t)
	for _, w := range []struct {
		name string
		io.Writer
	}{{"a file", out}, {"a connection", conn}} {
		for _, c := range []struct {
			name string
			do   func(fn func(b []byte) error) error
			from int64
		}{{"View", f.View, 4 * KiB}, {"Update", f.Update, 4 * KiB}, {"Pin.Do", p.Do, 64 * KiB}} {
			t.Run(c.name+"/"+w.name, func(t *testing.T) {
				var cause error
				err := c.do(func(b []byte) error {
					_, cause = w.Write(b)
					return fmt.Errorf("sending: %w", cause)
				})
				if !sys.IsFault(cause) {
					t.Skipf("this system wrote lost bytes: %v", cause)
				}
				wantFault(t, f, err, c.from, c.from+4*KiB)
				if !errors.Is(err, cause) || !strings.Contains(err.Error(), "sending") {
					t.Errorf("%v does not wrap %v", err, cause)
				}
				// An operation around it has lost nothing.
				around := core.NewMemory("m", nil)
				if again := around.View(func([]byte) error { return err }); again != err {
					t.Errorf("a View of other bytes made it %v", again)
				}
			})
		}
	}
	// With every byte there, the error is the callback's own.
	whole := opened(t, tempFile(t, pattern(10_000, 1)), core.Options{})
	for _, f := range []*core.File{whole, core.NewMemory("m", make([]byte, 10))} {
		refused := &fs.PathError{Op: "write", Path: "other", Err: sys.ErrFault}
		if err := f.View(func([]byte) error { return refused }); err != refused {
			t.Errorf("a View that lost nothing returned %v", err)
		}
	}
}

// accepted returns a connection whose other end reads everything.
func accepted(t *testing.T) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skipf("needs the loopback network: %v", err)
	}
	up, done := make(chan struct{}), make(chan error, 1)
	go func() { // ends with the connection
		conn, err := l.Accept()
		close(up)
		if err == nil {
			_, _ = io.Copy(io.Discard, conn)
			err = conn.Close()
		}
		done <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	check(t, err)
	<-up // closing the listener would refuse a connection that waits there
	t.Cleanup(func() {
		_, _ = conn.Close(), l.Close()
		check(t, <-done)
	})
	return conn
}
