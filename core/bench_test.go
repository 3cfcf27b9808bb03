package core_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
)

// The figures that count are ratios: ours against the plain memory access it
// stands for. Both are measured in turns within one run, and the median of the
// turns is reported, so that a busy machine does not decide the outcome.

// against measures ours against base, each over n operations a turn, as
// "ratio".
func against(b *testing.B, n int, base, ours func(n int)) {
	b.Helper()
	b.ReportAllocs()
	base(n) // warm
	ours(n)
	var ratios []float64
	b.ResetTimer()
	for done := 0; done < b.N || len(ratios) < 5; done += n {
		b.StopTimer()
		plain := timed(base, n)
		b.StartTimer()
		ratios = append(ratios, float64(timed(ours, n))/float64(plain))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}

func timed(fn func(n int), n int) time.Duration {
	start := time.Now()
	fn(n)
	return time.Since(start)
}

// window of the benchmarks: in the processor's cache, so that the cost of the
// call shows.
const benched = 256 * KiB

func benchFile(b *testing.B) (*core.File, []byte) {
	raw := pattern(benched, 1)
	return opened(b, tempFile(b, raw), core.Options{Access: core.ReadWrite, Populate: true}), raw
}

var sink uint64

// places is a generator of offsets of values, cheap so that it does not count.
type places uint32

func (p *places) next() int {
	*p = *p*1664525 + 1013904223
	return int(*p>>8) & (benched - 8)
}

// loads sums n values at random places: what they cost without a file.
//
//go:noinline
func loads(b []byte, n int) {
	var sum uint64
	var p places
	for range n {
		sum += binary.LittleEndian.Uint64(b[p.next():])
	}
	sink += sum
}

func rawLoads(raw []byte) func(n int) { return func(n int) { loads(raw, n) } }

// Indexing the bytes that View hands out: 1.00, for they are the map itself.
func BenchmarkViewIndex(b *testing.B) {
	f, raw := benchFile(b)
	against(b, 1<<20, rawLoads(raw), func(n int) {
		_ = f.View(func(v []byte) error { loads(v, n); return nil })
	})
}

// One guarded call for one value.
func BenchmarkGet(b *testing.B) {
	f, raw := benchFile(b)
	b.Run("little", func(b *testing.B) {
		against(b, 1<<16, rawLoads(raw), gets(b, f, binary.LittleEndian))
	})
	b.Run("big", func(b *testing.B) {
		against(b, 1<<16, rawLoads(raw), gets(b, f, binary.BigEndian))
	})
	b.Run("native", func(b *testing.B) {
		against(b, 1<<16, rawLoads(raw), gets(b, f, binary.NativeEndian))
	})
}

func gets(b *testing.B, f *core.File, order binary.ByteOrder) func(n int) {
	return func(n int) {
		var sum uint64
		var p places
		for range n {
			v, err := core.Get[uint64](f, int64(p.next()), order)
			if err != nil {
				b.Error(err)
				return
			}
			sum += v
		}
		atomic.AddUint64(&sink, sum)
	}
}

func BenchmarkPut(b *testing.B) {
	f, raw := benchFile(b)
	against(b, 1<<16, func(n int) {
		var p places
		for i := range n {
			binary.LittleEndian.PutUint64(raw[p.next():], uint64(i))
		}
	}, func(n int) {
		var p places
		for i := range n {
			if err := core.Put(f, int64(p.next()), binary.LittleEndian, uint64(i)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// Every processor at once, against one alone, per operation: what it would be
// if they shared nothing is one over their number.
func BenchmarkGetOnAllProcessors(b *testing.B) {
	f, _ := benchFile(b)
	one := gets(b, f, binary.LittleEndian)
	against(b, 1<<20, one, func(n int) {
		var wg sync.WaitGroup
		procs := runtime.GOMAXPROCS(0)
		for range procs {
			wg.Go(func() { one(n / procs) })
		}
		wg.Wait()
	})
}

// Copying 4 KiB against the copy alone: at random places of a file that is in
// memory, as a server has it, and over and over within the processor's cache,
// where the copy takes so little that the call shows.
func BenchmarkCopies4KiB(b *testing.B) {
	p := make([]byte, 4*KiB)
	for _, c := range []struct {
		name string
		size int64
	}{{"random", 256 * MiB}, {"cached", benched}} {
		f, err := core.OpenFile(filepath.Join(b.TempDir(), "file"), core.Options{Access: core.ReadWrite, Create: true, Size: c.size})
		check(b, err)
		check(b, f.Advise(core.AdvicePopulateWrite, 0, c.size))
		pin := pinned(b, f, 0, c.size)
		var state places
		place := func() int64 {
			state.next()
			return int64(state>>4) * 64 & (c.size - 4*KiB)
		}
		b.Run("ReadAt/"+c.name, func(b *testing.B) {
			raw := pin.Bytes()
			against(b, 1<<13, func(n int) {
				for range n {
					copy(p, raw[place():])
				}
			}, func(n int) {
				for range n {
					if _, err := f.ReadAt(p, place()); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
		b.Run("WriteAt/"+c.name, func(b *testing.B) {
			raw := pin.Bytes()
			against(b, 1<<13, func(n int) {
				for range n {
					copy(raw[place():], p)
				}
			}, func(n int) {
				for range n {
					if _, err := f.WriteAt(p, place()); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
		pin.Release()
		check(b, f.Close())
	}
}

// A pin is held for as long as one likes; it is an object of its own.
func BenchmarkPin(b *testing.B) {
	f, _ := benchFile(b)
	b.ReportAllocs()
	for b.Loop() {
		p, err := f.Pin(0, benched)
		if err != nil {
			b.Fatal(err)
		}
		p.Release()
	}
}

// What tracking adds to a pin that is taken twelve calls deep.
func BenchmarkTrackedPin(b *testing.B) {
	f, _ := benchFile(b)
	var pins func(depth, n int)
	pins = func(depth, n int) {
		if depth > 0 {
			pins(depth-1, n)
			return
		}
		for range n {
			p, err := f.Pin(0, benched)
			if err != nil {
				b.Error(err)
				return
			}
			p.Release()
		}
	}
	for _, c := range []struct {
		name string
		on   core.Tracking
	}{{"pins", core.Tracking{Pins: true}}, {"abandoned", core.Tracking{Pins: true, Abandoned: true}}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			defer core.Track(core.Tracking{})
			const turn = 1 << 13
			var more []float64
			for done := 0; done < b.N || len(more) < 9; done += turn {
				core.Track(core.Tracking{})
				plain := timed(func(n int) { pins(12, n) }, turn)
				core.Track(c.on)
				more = append(more, float64(timed(func(n int) { pins(12, n) }, turn)-plain)/turn)
			}
			slices.Sort(more)
			b.ReportMetric(more[len(more)/2], "more-ns/pin")
			b.ReportMetric(0, "ns/op") // of both kinds together
		})
	}
}

// Values one after the other through a cursor, against bytes.Reader and
// encoding/binary.
func BenchmarkNext(b *testing.B) {
	f, raw := benchFile(b)
	r, err := f.NewReader(0, benched)
	check(b, err)
	model := bytes.NewReader(raw)
	var word [8]byte
	against(b, 1<<14, func(n int) {
		_, _ = model.Seek(0, io.SeekStart)
		for range n {
			if _, err := io.ReadFull(model, word[:]); err != nil {
				b.Error(err)
				return
			}
			sink += binary.LittleEndian.Uint64(word[:])
		}
	}, func(n int) {
		_, _ = r.Seek(0, io.SeekStart)
		for range n {
			v, err := core.Next[uint64](r, binary.LittleEndian)
			if err != nil {
				b.Error(err)
				return
			}
			sink += v
		}
	})
}

// A stream out of the map without a copy on the heap, against io.Copy with a
// buffer.
func BenchmarkWriteTo(b *testing.B) {
	f, raw := benchFile(b)
	r, err := f.NewReader(0, benched)
	check(b, err)
	model := bytes.NewReader(raw)
	b.SetBytes(benched)
	against(b, 1<<6, func(n int) {
		for range n {
			_, _ = model.Seek(0, io.SeekStart)
			_, _ = io.Copy(io.Discard, struct{ io.Reader }{model})
		}
	}, func(n int) {
		for range n {
			_, _ = r.Seek(0, io.SeekStart)
			if _, err := io.Copy(discard{}, r); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// discard is no io.ReaderFrom, so that WriteTo is what runs.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
