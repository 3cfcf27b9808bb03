package async_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

func TestStreamYieldsEverythingInOrder(t *testing.T) {
	const size = 500_000
	forEach(t, size, func(t *testing.T, f *async.File, only bool) {
		model := pattern(size)
		for _, c := range []struct {
			off, n, chunk int64
			ahead         int
		}{{0, size, 10_000, 3}, {7, 100_001, 4096, 0}, {0, size, size * 2, 5}, {size, 0, 1, 1}, {5, 10, 3, 100}} {
			var got []byte
			at := c.off
			for pin, err := range f.Stream(bg, c.off, c.n, c.chunk, c.ahead) {
				check(t, err)
				if pin.Offset() != at || pin.Len() > c.chunk {
					t.Fatalf("chunk at %d of %d bytes, want at %d and at most %d", pin.Offset(), pin.Len(), at, c.chunk)
				}
				at += pin.Len()
				got = append(got, pin.Bytes()...)
				if at%2 == 0 {
					pin.Release() // allowed
				}
			}
			if !bytes.Equal(got, model[c.off:c.off+c.n]) {
				t.Errorf("stream of %+v: other bytes", c)
			}
		}
		check(t, f.Truncate(bg, 0).Wait()) // waits for pins
	})
}

func TestStreamLooksAhead(t *testing.T) {
	p := narrow(t)
	f := cold(t, p, 1<<20)
	for pin, err := range f.Stream(bg, 0, 1<<20, 10_000, 4) {
		check(t, err)
		if pin.Offset() == 0 {
			// Where reading is quicker than asking, the last ones are found in memory.
			if s := f.Stats(); s.Cold+s.Probed+s.Seen != 5 {
				t.Errorf("asked for with the first chunk at hand: got %+v, want it and 4 more", s)
			}
		}
	}
}

func TestStreamLeftEarlyLeaksNothing(t *testing.T) {
	const size = 1 << 20
	errBody := errors.New("body")
	for _, c := range []struct {
		name string
		run  func(f *async.File)
	}{
		{"break", func(f *async.File) {
			for range f.Stream(bg, 0, size, 10_000, 8) {
				break
			}
		}},
		{"panic", func(f *async.File) {
			defer func() {
				if r := recover(); r != errBody {
					panic(r)
				}
			}()
			for range f.Stream(bg, 0, size, 10_000, 8) {
				panic(errBody)
			}
		}},
		{"cancel", func(f *async.File) {
			ctx, cancel := context.WithCancelCause(bg)
			defer cancel(nil)
			n := 0
			for pin, err := range f.Stream(ctx, 0, size, 10_000, 8) {
				if pin != nil {
					cancel(errBody)
				} else if n++; err != errBody {
					t.Errorf("error of the stream: got %v, want the context's cause", err)
				}
			}
			if n != 1 {
				t.Errorf("cancelled: got %d errors, want 1", n)
			}
		}},
		{"closing", func(f *async.File) {
			n := 0
			for pin, err := range f.Stream(bg, 0, size, 10_000, 8) {
				if pin != nil && n == 0 {
					f.StartClose(bg)
				} else if pin == nil {
					wantErr(t, "stream of a closed file", err, fs.ErrClosed)
				}
				n++
			}
			if n == size/10_000+1 {
				t.Error("the stream of a closed file went on to the end")
			}
		}},
	} {
		for _, width := range []int{1, 4} { // what comes next may be loading, or queued
			t.Run(c.name, func(t *testing.T) {
				p := open(t, async.PoolOptions{Page: async.LaneOptions{Width: width}})
				f := cold(t, p, size)
				c.run(f)
				if err := f.Close(); err != nil && !errors.Is(err, fs.ErrClosed) { // waits for pins
					t.Error(err)
				}
				settled(func() bool { // a Close that came first may be on its way
					pin, err := f.Core().Pin(0, 1)
					if err == nil {
						pin.Release()
					}
					return errors.Is(err, fs.ErrClosed)
				})
			})
		}
	}
}

func TestStreamRefusals(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := onDisk(t, p, 1000)
	for _, c := range []struct {
		name          string
		off, n, chunk int64
		ahead         int
		want          error
	}{
		{"no chunk", 0, 10, 0, 1, fs.ErrInvalid},
		{"negative chunk", 0, 10, -1, 1, fs.ErrInvalid},
		{"negative ahead", 0, 10, 10, -1, fs.ErrInvalid},
		{"past the end", 995, 10, 10, 1, core.ErrRange},
		{"negative", -1, 10, 10, 1, core.ErrRange},
		{"overflowing", 1, 1<<63 - 1, 10, 1, core.ErrRange},
	} {
		n := 0
		for pin, err := range f.Stream(bg, c.off, c.n, c.chunk, c.ahead) {
			if n++; pin != nil {
				t.Errorf("%s: got a pin", c.name)
			}
			wantErr(t, c.name, err, c.want)
		}
		if n != 1 {
			t.Errorf("%s: got %d chunks, want one error", c.name, n)
		}
	}
}

// The length of a closed file is 0, but its stream is not an empty one.
func TestClosedFileIsNotEmpty(t *testing.T) {
	f := onDisk(t, open(t, async.PoolOptions{}), 1000)
	check(t, f.Close())
	n := 0
	for pin, err := range f.Stream(bg, 0, f.Core().Len(), 100, 1) {
		if n++; pin != nil {
			t.Error("got a pin")
		}
		wantErr(t, "Stream", err, fs.ErrClosed)
	}
	if n != 1 {
		t.Errorf("got %d chunks, want one error", n)
	}
	_, err := f.NewReader(bg, 0, f.Core().Len())
	wantErr(t, "NewReader", err, fs.ErrClosed)
	wantErr(t, "Load", f.Load(bg, 0, f.Core().Len()).Err(), fs.ErrClosed)
}

// A lane that is full only makes the stream look less far ahead.
func TestStreamOverloaded(t *testing.T) {
	const size = 1 << 20
	p := open(t, async.PoolOptions{Page: async.LaneOptions{Width: 1, Queue: 1}})
	f := cold(t, p, size)
	var n int64
	for pin, err := range f.Stream(bg, 0, size, 10_000, 20) {
		check(t, err)
		n += pin.Len()
	}
	if n != size {
		t.Errorf("got %d bytes, want %d", n, size)
	}
}
