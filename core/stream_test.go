package core_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// writerFunc and readerFunc are streams made of one function.
type (
	writerFunc func(p []byte) (int, error)
	readerFunc func(p []byte) (int, error)
)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
func (f readerFunc) Read(p []byte) (int, error)  { return f(p) }

func reader(t testing.TB, f *core.File, off, n int64) *core.Reader {
	t.Helper()
	r, err := f.NewReader(off, n)
	check(t, err)
	return r
}

func writer(t testing.TB, f *core.File, off, n int64) *core.Writer {
	t.Helper()
	w, err := f.NewWriter(off, n)
	check(t, err)
	return w
}

// A file that was cut may be whole again when a system call's fault is looked
// into.
func TestStreamsOfAFileThatIsWholeAgain(t *testing.T) {
	needsCutting(t)
	name := tempFile(t, pattern(2*MiB, 1))
	f := opened(t, name, core.Options{Access: core.ReadWrite, Offset: 100, Stores: core.ViaMap})
	other, err := os.OpenFile(tempFile(t, pattern(2*MiB, 2)), os.O_RDWR, 0)
	check(t, err)
	defer other.Close()
	while := func(call func(p []byte, off int64) (int, error)) func([]byte) (int, error) {
		return func(p []byte) (int, error) {
			check(t, os.Truncate(name, 4*KiB))
			_, err := call(p, 0)
			check(t, os.Truncate(name, 2*MiB))
			return 10, err
		}
	}
	n, err := reader(t, f, 1000, MiB).WriteTo(writerFunc(while(other.WriteAt)))
	wantFault(t, f, err, 1110, 1111)
	m, err := writer(t, f, 1000, MiB).ReadFrom(readerFunc(while(other.ReadAt)))
	wantFault(t, f, err, 1110, 1111)
	if n != 10 || m != 10 {
		t.Errorf("%d and %d bytes, want 10", n, m)
	}
}

// WriteTo hands out the map itself, in order and in pieces that a closing need
// not wait long for.
func TestWriteToHandsOutTheMap(t *testing.T) {
	want := pattern(3*MiB+11, 1)
	f := opened(t, tempFile(t, want), core.Options{})
	p := pinned(t, f, 0, f.Len())
	at := 5
	n, err := reader(t, f, 5, f.Len()-5).WriteTo(writerFunc(func(b []byte) (int, error) {
		if &b[0] != &p.Bytes()[at] {
			t.Errorf("the bytes at %d are a copy", at)
		}
		if len(b) > MiB || cap(b) != len(b) {
			t.Errorf("%d bytes at once, room for %d", len(b), cap(b))
		}
		at += len(b)
		return len(b), nil
	}))
	if n != f.Len()-5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestWriteToStopsWhereItsWriterDoes(t *testing.T) {
	f := opened(t, tempFile(t, pattern(100, 1)), core.Options{})
	mine := errors.New("mine")
	for _, c := range []struct {
		name string
		w    func(p []byte) (int, error)
		n    int64
		want error
	}{
		{"an error", func([]byte) (int, error) { return 7, mine }, 7, mine},
		{"a short write", func([]byte) (int, error) { return 7, nil }, 7, io.ErrShortWrite},
		{"an impossible count", func(p []byte) (int, error) { return len(p) + 1, nil }, 0, nil},
		{"a negative count", func(p []byte) (int, error) { return -1, nil }, 0, nil},
	} {
		r := reader(t, f, 0, 100)
		n, err := r.WriteTo(writerFunc(c.w))
		if n != c.n || err == nil || c.want != nil && err != c.want || r.Len() != 100-n {
			t.Errorf("%s: %d, %v, %d left", c.name, n, err, r.Len())
		}
	}
}

// A stream that panics takes no pin with it: a server that recovers can still
// close the file.
func TestAPanickingStreamKeepsNoPin(t *testing.T) {
	f := opened(t, tempFile(t, pattern(100, 1)), core.Options{Access: core.ReadWrite})
	for name, do := range map[string]func(){
		"WriteTo": func() {
			_, _ = reader(t, f, 0, 100).WriteTo(writerFunc(func([]byte) (int, error) { panic("mine") }))
		},
		"ReadFrom": func() {
			_, _ = writer(t, f, 0, 100).ReadFrom(readerFunc(func([]byte) (int, error) { panic("mine") }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if v := recover(); v != "mine" {
					t.Errorf("recovered %v", v)
				}
			}()
			do()
		})
	}
	ready := false
	c, err := f.StartClose(func(*core.Change) { ready = true })
	check(t, err)
	if !ready {
		t.Fatal("a pin is left")
	}
	check(t, c.Finish())
}

// A pipe's bytes are read by another goroutine, which has no guard: it must get
// copies.
func TestWriteToAPipeHandsOutCopies(t *testing.T) {
	f := shortened(t, core.Options{})
	pr, pw := io.Pipe()
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(pr)
		got <- b
	}()
	n, err := reader(t, f, 0, f.Len()).WriteTo(pw)
	wantFault(t, f, err, 0, MiB)
	check(t, pw.Close())
	if b := <-got; int64(len(b)) != n {
		t.Errorf("%d bytes came through, %d are said to", len(b), n)
	}
}

func TestStreamsOfAWindowThatShrank(t *testing.T) {
	f := opened(t, tempFile(t, pattern(1000, 1)), core.Options{Access: core.ReadWrite})
	r, w := reader(t, f, 100, 800), writer(t, f, 100, 800)
	check(t, f.Truncate(150))
	var out bytes.Buffer
	if n, err := r.WriteTo(&out); n != 50 || err != nil || !bytes.Equal(out.Bytes(), pattern(1000, 1)[100:150]) {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	if n, err := w.ReadFrom(bytes.NewReader(make([]byte, 50))); n != 50 || err != nil {
		t.Errorf("ReadFrom what fits: %d, %v", n, err)
	}
	if n, err := w.ReadFrom(bytes.NewReader(make([]byte, 1))); n != 0 || !errors.Is(err, core.ErrRange) {
		t.Errorf("ReadFrom more: %d, %v", n, err)
	}
	check(t, f.Truncate(10)) // now the range begins behind the end
	if n, err := r.WriteTo(&out); n != 0 || err != nil {
		t.Errorf("WriteTo behind the end: %d, %v", n, err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read behind the end: %d, %v", n, err)
	}
	check(t, f.Truncate(1000))
	if n, err := r.WriteTo(io.Discard); n != 750 || err != nil {
		t.Errorf("WriteTo of what came back: %d, %v", n, err)
	}
}

func TestStreamsOfAClosedOrFrozenFile(t *testing.T) {
	f := opened(t, tempFile(t, pattern(1000, 1)), core.Options{Access: core.ReadWrite})
	r, w := reader(t, f, 0, 1000), writer(t, f, 0, 1000)
	check(t, f.Freeze())
	for name, err := range map[string]error{
		"Write": second(w.Write([]byte("x"))), "WriteByte": w.WriteByte('x'), "WriteString": second(w.WriteString("x")),
		"ReadFrom": second(w.ReadFrom(strings.NewReader("x"))), "NewWriter": second(f.NewWriter(0, 1)),
	} {
		if !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("%s of a frozen file: %v", name, err)
		}
	}
	if n, err := r.WriteTo(io.Discard); n != 1000 || err != nil {
		t.Errorf("WriteTo of a frozen file: %d, %v", n, err)
	}
	_, err := r.Seek(0, io.SeekStart)
	check(t, err)
	check(t, f.Close())
	for name, err := range map[string]error{
		"Read": second(r.Read(make([]byte, 1))), "ReadByte": second(r.ReadByte()), "ReadAt": second(r.ReadAt(make([]byte, 1), 0)),
		"WriteTo": second(r.WriteTo(io.Discard)), "Write": second(w.Write([]byte("x"))), "ReadFrom": second(w.ReadFrom(strings.NewReader("x"))),
		"NewReader": second(f.NewReader(0, 0)), "NewWriter": second(f.NewWriter(0, 0)),
	} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s of a closed file: %v", name, err)
		}
	}
}

// Whatever the range has taken, and however r ends, ReadFrom comes to an end.
func TestReadFromEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		r    io.Reader
		want error
	}{
		{"end with the last byte", iotest.DataErrReader(strings.NewReader("0123456789")), nil},
		{"end after it", strings.NewReader("0123456789"), nil},
		{"stuck once full", io.MultiReader(strings.NewReader("0123456789"), stuck{}), io.ErrNoProgress},
		{"more once full", io.MultiReader(strings.NewReader("0123456789"), iotest.OneByteReader(strings.NewReader("ab"))), io.ErrShortWrite},
		{"failing once full", io.MultiReader(strings.NewReader("0123456789"), iotest.ErrReader(iotest.ErrTimeout)), iotest.ErrTimeout},
	} {
		f := core.NewMemory("m", make([]byte, 12))
		n, err := writer(t, f, 1, 10).ReadFrom(c.r)
		if n != 10 || !errors.Is(err, c.want) {
			t.Errorf("%s: %d, %v, want %v", c.name, n, err, c.want)
		}
		if got := string(contents(t, f)); got != "\x000123456789\x00" {
			t.Errorf("%s: the bytes are %q", c.name, got)
		}
	}
}

// From one file to another through both maps, and within one.
func TestStreamsBetweenFiles(t *testing.T) {
	want := pattern(2*MiB+3, 1)
	from := opened(t, tempFile(t, want), core.Options{})
	to := opened(t, tempFile(t, make([]byte, len(want))), core.Options{Access: core.ReadWrite})
	n, err := io.Copy(writer(t, to, 0, to.Len()), reader(t, from, 0, from.Len()))
	if n != from.Len() || err != nil || !bytes.Equal(contents(t, to), want) {
		t.Errorf("%d, %v, or other bytes", n, err)
	}
	cut := shortened(t, core.Options{})
	_, err = io.Copy(writer(t, to, 0, to.Len()), reader(t, cut, 0, cut.Len()))
	wantFault(t, cut, err, 4*KiB, MiB) // of the file that was read, though the other one's method met it
	n, err = io.Copy(writer(t, to, 100, 1000), reader(t, to, 0, 1000))
	if n != 1000 || err != nil || !bytes.Equal(contents(t, to)[100:1100], want[:1000]) {
		t.Errorf("within one file: %d, %v", n, err)
	}
}

// What a system call refuses because the disk is full is a fault too.
func TestReadFromOnAFullDisk(t *testing.T) {
	dir := testutil.LoopDisk(t, 64*KiB, "tmpfs")
	f, err := core.OpenFile(filepath.Join(dir, "sparse"), core.Options{Access: core.ReadWrite, Create: true, Sparse: true, Size: MiB})
	check(t, err)
	defer f.Close()
	from, err := os.Open(tempFile(t, pattern(MiB, 1)))
	check(t, err)
	defer from.Close()
	_, err = writer(t, f, 0, MiB).ReadFrom(from)
	wantFault(t, f, err, 4*KiB, MiB)
	wantFault(t, f, f.Zero(0, MiB), 4*KiB, MiB)
}
