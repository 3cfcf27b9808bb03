package core_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"testing"

	"github.com/fmmap-go/fmmap/core"
)

// Peek and Discard together read what Read does, without a copy.
func TestPeekAndDiscard(t *testing.T) {
	want := pattern(3*MiB, 1)
	f := opened(t, tempFile(t, want), core.Options{})
	for _, step := range []int64{1, 4097, 2 * MiB, 5 * MiB} {
		const off, n = 7, 2*MiB + 100
		r, err := f.NewReader(off, n)
		check(t, err)
		if step == 1 { // the whole would take long
			_, err = r.Seek(n-5, io.SeekStart)
			check(t, err)
		}
		pos, _ := r.Seek(0, io.SeekCurrent)
		for {
			p, err := r.Peek(step)
			if err == io.EOF {
				break
			}
			check(t, err)
			if p.Len() != min(step, n-pos) || !bytes.Equal(p.Bytes(), want[off+pos:off+pos+p.Len()]) {
				t.Fatalf("step %d: %d bytes at %d", step, p.Len(), pos)
			}
			skipped, err := r.Discard(p.Len())
			check(t, err)
			pos += skipped
			p.Release()
		}
		if pos != n || r.Len() != 0 {
			t.Errorf("step %d: ended at %d", step, pos)
		}
		if skipped, err := r.Discard(1); skipped != 0 || err != io.EOF {
			t.Errorf("behind the end: %d, %v", skipped, err)
		}
	}
}

func TestPeekRefuses(t *testing.T) {
	f := core.NewMemory("memory", pattern(100, 1))
	r, err := f.NewReader(50, 50)
	check(t, err)
	if _, err := r.Peek(-1); !errors.Is(err, core.ErrRange) {
		t.Errorf("peek: %v", err)
	}
	if _, err := r.Discard(-1); !errors.Is(err, core.ErrRange) {
		t.Errorf("discard: %v", err)
	}
	if n, err := r.Discard(60); n != 50 || err != io.EOF {
		t.Errorf("past the end: %d, %v", n, err)
	}
	_, err = r.Seek(0, io.SeekStart)
	check(t, err)
	p, err := r.Peek(0)
	check(t, err)
	if p.Len() != 0 {
		t.Errorf("%d bytes for none", p.Len())
	}
	p.Release()
	check(t, f.Truncate(60)) // the window ends within the range
	p, err = r.Peek(50)
	check(t, err)
	if p.Len() != 10 {
		t.Errorf("%d bytes of a shorter window", p.Len())
	}
	p.Release()
	check(t, f.Truncate(40))
	if _, err := r.Peek(1); err != io.EOF {
		t.Errorf("a window that ends before: %v", err)
	}
	check(t, f.Close())
	if _, err := r.Peek(1); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// Lines are looked for in the map itself, as far as a pin reaches.
func ExampleReader_Peek() {
	f := core.NewMemory("log", []byte("first\nsecond\n"))
	defer f.Close()
	r := must(f.NewReader(0, f.Len()))
	for {
		p, err := r.Peek(64 << 10)
		if err == io.EOF {
			break
		} else if err != nil {
			log.Fatal(err)
		}
		line, _, _ := bytes.Cut(p.Bytes(), []byte("\n"))
		fmt.Printf("%q\n", line)
		must(r.Discard(int64(len(line)) + 1))
		p.Release()
	}
	// Output:
	// "first"
	// "second"
}
