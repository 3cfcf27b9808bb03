package async_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"
	"testing/iotest"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

func reader(t testing.TB, f *async.File, off, n int64) *async.Reader {
	t.Helper()
	r, err := f.NewReader(bg, off, n)
	check(t, err)
	t.Cleanup(func() {
		if err := r.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
	})
	return r
}

func TestReaderReadsWhatIsThere(t *testing.T) {
	const size = 1<<20 + 12_345 // several chunks, the last one short
	forEach(t, size, func(t *testing.T, f *async.File, _ bool) {
		model := pattern(size)
		for _, c := range []struct{ off, n int64 }{{0, size}, {7, 300_001}, {size - 5, 5}, {3, 0}} {
			r := reader(t, f, c.off, c.n)
			if err := iotest.TestReader(r, model[c.off:c.off+c.n]); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			check(t, r.Close())
		}
		r := reader(t, f, 5, size-5)
		var out bytes.Buffer
		if n, err := r.WriteTo(&out); n != size-5 || err != nil || !bytes.Equal(out.Bytes(), model[5:]) {
			t.Errorf("WriteTo: %d bytes, %v", n, err)
		}
		check(t, r.Close())
		check(t, f.Truncate(bg, 0).Wait()) // waits for pins: none is left
	})
}

// The reader does what bytes.Reader does, whatever is asked of it.
func TestReaderAgainstModel(t *testing.T) {
	const size = 1 << 20
	rng := testutil.Rand(t)
	f := onDisk(t, nil, size)
	data := pattern(size)
	r, model := reader(t, f, 0, size), bytes.NewReader(data)
	for step := range 2000 {
		if r.Len() != int64(model.Len()) {
			t.Fatalf("step %d: %d bytes left, want %d", step, r.Len(), model.Len())
		}
		at := size - model.Len()
		switch rng.IntN(6) {
		case 0:
			n := rng.IntN(100_000)
			a, b := make([]byte, n), make([]byte, n)
			got, gotErr := io.ReadFull(r, a)
			want, wantErr := io.ReadFull(model, b)
			if got != want || gotErr != wantErr || !bytes.Equal(a, b) {
				t.Fatalf("step %d: read %d, %v, want %d, %v", step, got, gotErr, want, wantErr)
			}
		case 1:
			a, gotErr := r.ReadByte()
			b, wantErr := model.ReadByte()
			if a != b || gotErr != wantErr {
				t.Fatalf("step %d: byte %d, %v, want %d, %v", step, a, gotErr, b, wantErr)
			}
		case 2:
			off, whence := rng.Int64N(size+10), io.SeekStart
			if rng.IntN(2) == 0 {
				off, whence = rng.Int64N(1000)-500, io.SeekCurrent
			}
			got, gotErr := r.Seek(off, whence)
			want, wantErr := model.Seek(off, whence)
			if (gotErr == nil) != (wantErr == nil) || gotErr == nil && got != want {
				t.Fatalf("step %d: at %d, %v, want %d, %v", step, got, gotErr, want, wantErr)
			}
		case 3:
			n := rng.IntN(600_000)
			b, err := r.Peek(n)
			want := data[min(at, size):min(at+n, size)]
			if !bytes.Equal(b, want) || (err == io.EOF) != (len(want) < n) || err != nil && err != io.EOF {
				t.Fatalf("step %d: peeked %d of %d, %v", step, len(b), n, err)
			}
		case 4:
			n := rng.IntN(100_000)
			skipped, err := r.Discard(n)
			want, _ := io.CopyN(io.Discard, model, int64(n))
			if int64(skipped) != want || (err == io.EOF) != (want < int64(n)) {
				t.Fatalf("step %d: discarded %d, %v, want %d", step, skipped, err, want)
			}
		case 5:
			v, err := async.Next[uint32](r, binary.LittleEndian)
			var b [4]byte
			n, wantErr := io.ReadFull(model, b[:])
			if err != wantErr || err == nil && v != binary.LittleEndian.Uint32(b[:]) {
				t.Fatalf("step %d: value %d, %v, want %v, %v", step, v, err, b, wantErr)
			}
			if wantErr == io.ErrUnexpectedEOF {
				_, _ = model.Seek(int64(-n), io.SeekCurrent) // Next does not move then
			}
		}
	}
}

// What is read comes through the pager, in chunks, and ahead.
func TestReaderReadsAhead(t *testing.T) {
	f := cold(t, narrow(t), 4<<20)
	r := reader(t, f, 0, 4<<20)
	if _, err := r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	if s := f.Stats(); s.Cold+s.Probed+s.Seen < 5 {
		t.Errorf("after one byte: %+v, want its chunk and 4 more", s)
	}
}

func TestReaderEndsWithItsContext(t *testing.T) {
	f := onDisk(t, nil, 1<<20)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(bg)
	defer cancel(nil)
	r, err := f.NewReader(ctx, 0, 1<<20)
	check(t, err)
	defer r.Close()
	if _, err := r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	if _, err := r.Seek(900_000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadByte(); !errors.Is(err, cause) {
		t.Errorf("a read whose context is done: %v", err)
	}
}

func TestReaderRefuses(t *testing.T) {
	f := onDisk(t, nil, 100)
	if _, err := f.NewReader(bg, 50, 51); !errors.Is(err, core.ErrRange) {
		t.Errorf("a range past the end: %v", err)
	}
	r := reader(t, f, 0, 100)
	for name, err := range map[string]error{
		"Peek(-1)":     second(r.Peek(-1)),
		"Discard(-1)":  second(r.Discard(-1)),
		"Seek to -1":   second(r.Seek(-1, io.SeekStart)),
		"Seek by whim": second(r.Seek(0, 7)),
	} {
		if !errors.Is(err, core.ErrRange) && !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	check(t, r.Close())
	for name, err := range map[string]error{
		"Read":    second(r.Read(make([]byte, 1))),
		"Peek":    second(r.Peek(1)),
		"Discard": second(r.Discard(1)),
		"Seek":    second(r.Seek(0, io.SeekStart)),
		"Next":    second(async.Next[byte](r, binary.BigEndian)),
		"Close":   r.Close(),
	} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s of a closed reader: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A file that is cut short under a reader is an error, and the reader goes on
// where there still is something.
func TestReaderOfACutFile(t *testing.T) {
	needsFiles(t)
	name := diskFile(t, pattern(1<<20))
	f := opened(t, nil, name, core.Options{})
	r := reader(t, f, 0, 1<<20)
	if _, err := r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 4096); err != nil {
		t.Skipf("a mapped file cannot be cut short on this system: %v", err)
	}
	var out bytes.Buffer
	if n, err := io.Copy(&out, r); !errors.Is(err, core.ErrFault) {
		t.Errorf("copied %d bytes of a file that was cut short: %v", n, err)
	}
	if _, err := r.Seek(100, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadByte(); err != nil && !errors.Is(err, core.ErrFault) {
		t.Errorf("a byte that is still there: %v", err)
	}
}
