package core_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fmmap-go/fmmap/core"
)

// cursors are the interfaces that the two promise.
var (
	_ interface {
		io.Reader
		io.Seeker
		io.ReaderAt
		io.ByteScanner
		io.WriterTo
	} = (*core.Reader)(nil)
	_ interface {
		io.Writer
		io.Seeker
		io.WriterAt
		io.ByteWriter
		io.StringWriter
		io.ReaderFrom
	} = (*core.Writer)(nil)
)

func TestReaderIsAReader(t *testing.T) {
	want := pattern(100*KiB, 1)
	for _, w := range []struct{ off, n int64 }{{0, 100 * KiB}, {1, 0}, {100 * KiB, 0}, {5000, 1}, {4095, 70_000}} {
		f := opened(t, tempFile(t, want), core.Options{})
		r, err := f.NewReader(w.off, w.n)
		check(t, err)
		if err := iotest.TestReader(r, want[w.off:w.off+w.n]); err != nil {
			t.Errorf("%+v: %v", w, err)
		}
		check(t, f.Close())
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Error("read a closed file")
		}
	}
}

// Whatever bytes.Reader does, ours does.
func TestReaderDoesWhatBytesReaderDoes(t *testing.T) {
	b := []byte("0123456789")
	f := core.NewMemory("m", bytes.Clone(b))
	r, err := f.NewReader(0, 10)
	check(t, err)
	model := bytes.NewReader(b)
	type outcome struct {
		n    int64
		data string
		ok   bool
		eof  bool
	}
	read := func(r io.Reader, n int) outcome {
		p := make([]byte, n)
		m, err := r.Read(p)
		return outcome{int64(m), string(p[:m]), err == nil, err == io.EOF}
	}
	type reader interface {
		io.ReadSeeker
		io.ByteScanner
		io.ReaderAt
		io.WriterTo
	}
	for i, do := range []func(r reader) outcome{
		func(r reader) outcome { return read(r, 0) },
		func(r reader) outcome { return outcome{ok: r.UnreadByte() == nil} },
		func(r reader) outcome { return read(r, 3) },
		func(r reader) outcome { return outcome{ok: r.UnreadByte() == nil} },
		func(r reader) outcome {
			c, err := r.ReadByte()
			return outcome{data: string(rune(c)), ok: err == nil}
		},
		func(r reader) outcome { n, err := r.Seek(-1, io.SeekEnd); return outcome{n: n, ok: err == nil} },
		func(r reader) outcome { return read(r, 5) },
		func(r reader) outcome { return read(r, 5) },
		func(r reader) outcome { return read(r, 0) },
		func(r reader) outcome { _, err := r.ReadByte(); return outcome{eof: err == io.EOF} },
		func(r reader) outcome { n, err := r.Seek(100, io.SeekStart); return outcome{n: n, ok: err == nil} },
		func(r reader) outcome { return read(r, 1) },
		func(r reader) outcome { return outcome{ok: r.UnreadByte() == nil} },
		func(r reader) outcome { n, err := r.Seek(-1000, io.SeekCurrent); return outcome{n: n, ok: err == nil} },
		func(r reader) outcome { n, err := r.Seek(0, 7); return outcome{n: n, ok: err == nil} },
		func(r reader) outcome { n, err := r.Seek(2, io.SeekStart); return outcome{n: n, ok: err == nil} },
		func(r reader) outcome {
			var w bytes.Buffer
			n, err := r.WriteTo(&w)
			return outcome{n, w.String(), err == nil, false}
		},
		func(r reader) outcome { n, err := r.WriteTo(io.Discard); return outcome{n: n, ok: err == nil} },
		func(r reader) outcome {
			p := make([]byte, 4)
			n, err := r.ReadAt(p, 8)
			return outcome{int64(n), string(p[:n]), err == nil, err == io.EOF}
		},
		func(r reader) outcome { _, err := r.ReadAt(make([]byte, 1), -1); return outcome{ok: err == nil} },
		func(r reader) outcome {
			n, err := r.ReadAt(nil, 10)
			return outcome{int64(n), "", err == nil, err == io.EOF}
		},
	} {
		if got, want := do(r), do(model); got != want {
			t.Errorf("step %d: got %+v, want %+v", i, got, want)
		}
		if got, want := r.Len(), int64(model.Len()); got != want {
			t.Errorf("step %d: %d left, want %d", i, got, want)
		}
	}
}

func TestWriterFillsItsRangeAndNoMore(t *testing.T) {
	f := core.NewMemory("m", []byte("................"))
	w, err := f.NewWriter(4, 8)
	check(t, err)
	n, err := w.WriteString("abc")
	if n != 3 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	check(t, w.WriteByte('d'))
	if n, err := w.Write([]byte("efghIJ")); n != 4 || !errors.Is(err, core.ErrRange) || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("over the end: %d, %v", n, err)
	}
	if err := w.WriteByte('K'); !errors.Is(err, core.ErrRange) {
		t.Errorf("a byte behind the end: %v", err)
	}
	if n, err := w.Write(nil); n != 0 || err != nil {
		t.Errorf("nothing at the end: %d, %v", n, err)
	}
	if n, err := w.WriteAt([]byte("X"), 7); n != 1 || err != nil {
		t.Errorf("WriteAt: %d, %v", n, err)
	}
	for _, off := range []int64{-1, 8, 1 << 62} {
		if n, err := w.WriteAt([]byte("Y"), off); n != 0 || !errors.Is(err, core.ErrRange) {
			t.Errorf("WriteAt(%d): %d, %v", off, n, err)
		}
	}
	if got := string(contents(t, f)); got != "....abcdefgX...." {
		t.Errorf("the bytes are %q", got)
	}
}

func TestReadFrom(t *testing.T) {
	want := pattern(3*MiB+5, 1)
	f := opened(t, tempFile(t, make([]byte, 3*MiB+5)), core.Options{Access: core.ReadWrite})
	w, err := f.NewWriter(0, f.Len())
	check(t, err)
	if n, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(want))); n != f.Len() || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if !bytes.Equal(contents(t, f), want) {
		t.Error("the bytes differ")
	}
	for _, c := range []struct {
		name string
		r    io.Reader
		n    int64
		want error
	}{
		{"shorter", strings.NewReader("abc"), 3, nil},
		{"just as long", strings.NewReader("0123456789"), 10, nil},
		{"longer", strings.NewReader("0123456789a"), 10, core.ErrRange},
		{"failing", iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("0123"))), 1, iotest.ErrTimeout},
		{"stuck", stuck{}, 0, io.ErrNoProgress},
	} {
		w, err := f.NewWriter(100, 10)
		check(t, err)
		if n, err := w.ReadFrom(c.r); n != c.n || !errors.Is(err, c.want) {
			t.Errorf("%s: %d, %v", c.name, n, err)
		}
	}
	ro := opened(t, tempFile(t, make([]byte, 10)), core.Options{})
	if _, err := ro.NewWriter(0, 10); !errors.Is(err, core.ErrReadOnly) {
		t.Errorf("a writer of a read-only file: %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// What write(2) and read(2) refuse because the file has become shorter is a fault too.
func TestCursorsTurnRefusedMemoryIntoFaults(t *testing.T) {
	f := shortened(t, core.Options{Access: core.ReadWrite})
	to, err := os.Create(f.Name() + ".to")
	check(t, err)
	defer to.Close()
	r, err := f.NewReader(0, f.Len())
	check(t, err)
	_, err = r.WriteTo(to)
	wantFault(t, f, err, 0, MiB)
	from, err := os.Open(tempFile(t, pattern(MiB, 1)))
	check(t, err)
	defer from.Close()
	w, err := f.NewWriter(8*KiB, f.Len()-8*KiB)
	check(t, err)
	_, err = w.ReadFrom(from)
	wantFault(t, f, err, 8*KiB, MiB)
}

func TestCursorOfAWindowThatShrank(t *testing.T) {
	f := opened(t, tempFile(t, pattern(1000, 1)), core.Options{Access: core.ReadWrite})
	r, err := f.NewReader(0, 1000)
	check(t, err)
	w, err := f.NewWriter(0, 1000)
	check(t, err)
	check(t, f.Truncate(10))
	p := make([]byte, 100)
	if n, err := r.Read(p); n != 10 || err != nil {
		t.Errorf("Read: %d, %v", n, err)
	}
	if n, err := r.Read(p); n != 0 || err != io.EOF {
		t.Errorf("Read at the new end: %d, %v", n, err)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("ReadByte at the new end: %v", err)
	}
	if n, err := w.Write(p); n != 0 || !errors.Is(err, core.ErrRange) {
		t.Errorf("Write: %d, %v", n, err)
	}
	for _, c := range [][2]int64{{-1, 1}, {0, -1}, {0, 11}, {10, 1}, {1 << 62, 1 << 62}} {
		if _, err := f.NewReader(c[0], c[1]); !errors.Is(err, core.ErrRange) {
			t.Errorf("NewReader%v: %v", c, err)
		}
		if _, err := f.NewWriter(c[0], c[1]); !errors.Is(err, core.ErrRange) {
			t.Errorf("NewWriter%v: %v", c, err)
		}
	}
}
