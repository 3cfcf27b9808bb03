package flush_test

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/flush"
)

func TestRequestsGatherInOneBatchOverTheirHull(t *testing.T) {
	for _, tt := range []struct {
		name     string
		requests []rng
		want     rng
	}{
		{"one", []rng{{5, 7}}, rng{5, 7}},
		{"apart", []rng{{100, 10}, {5000, 1}}, rng{100, 4901}},
		{"backwards", []rng{{5000, 1}, {100, 10}}, rng{100, 4901}},
		{"within", []rng{{0, 100}, {50, 10}}, rng{0, 100}},
		{"overlapping", []rng{{0, 100}, {50, 100}}, rng{0, 150}},
		{"to the end of all", []rng{{math.MaxInt64 - 1, 1}, {0, 1}}, rng{0, math.MaxInt64}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target, gate := gated()
				c := flush.NewCommitter(target, flush.Options{})
				_ = c.Commit(1, 1)
				synctest.Wait()
				batch := c.Commit(tt.requests[0].off, tt.requests[0].n)
				for _, r := range tt.requests[1:] {
					if b := c.Commit(r.off, r.n); b != batch {
						t.Fatal("requests made during one call are in different batches")
					}
				}
				gate <- nil
				gate <- nil
				if err := batch.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := target.seen()[1]; got != tt.want {
					t.Errorf("flushed %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestRangesFurtherApartThanTheGapAreFlushedByCallsOfTheirOwn(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail int // the call that fails
		err  error
		want []rng
	}{
		{"all well", 0, nil, []rng{{0, 20}, {1000, 10}, {5000, 10}}},
		{"the second fails", 2, errDisk, []rng{{0, 20}, {1000, 10}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := &queue{}
			target := failing(tt.fail, errDisk)
			c := flush.NewCommitter(target, flush.Options{Execute: q.execute, Gap: 100})
			b := c.Commit(5000, 10)
			_ = c.Commit(0, 10)
			_ = c.Commit(1000, 10)
			_ = c.Commit(10, 10)
			q.runOne()
			if got := target.seen(); !slices.Equal(got, tt.want) || b.Err() != tt.err {
				t.Errorf("calls %v, %v; want %v, %v", got, b.Err(), tt.want, tt.err)
			}
			if s := c.Stats(); s.Batches != 1 || s.Bytes != 40 {
				t.Errorf("stats %+v, want one batch of 40 bytes", s)
			}
		})
	}
}

// sized is a recorder that knows its length.
type sized struct {
	*recorder
	length atomic.Int64
}

func (s *sized) Len() int64 { return s.length.Load() }

func TestABadRangeFailsAlone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		off, n int64
	}{
		{"negative offset", -1, 10},
		{"negative length", 10, -1},
		{"both negative", -10, -1},
		{"overflow", math.MaxInt64, 1},
		{"overflow by a lot", math.MaxInt64, math.MaxInt64},
		{"beyond the length", 4096, 1},
		{"across the length", 4000, 97},
		{"empty beyond the length", 4097, 0},
		{"empty at a negative offset", -1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target, gate := gated()
				s := &sized{recorder: target}
				s.length.Store(4096)
				c := flush.NewCommitter(s, flush.Options{})
				_ = c.Commit(0, 1)
				synctest.Wait()
				good := c.Commit(100, 10)
				bad := c.Commit(tt.off, tt.n)
				if err := bad.Err(); !isDone(bad) || !errors.Is(err, flush.ErrRange) {
					t.Errorf("Commit(%d, %d) is done %v with %v, want ErrRange at once", tt.off, tt.n, isDone(bad), err)
				}
				if err := c.Flush(t.Context(), tt.off, tt.n); !errors.Is(err, flush.ErrRange) {
					t.Errorf("Flush(%d, %d) = %v, want ErrRange", tt.off, tt.n, err)
				}
				gate <- nil
				gate <- nil
				if err := good.Wait(t.Context()); err != nil {
					t.Errorf("batch mate: %v", err)
				}
				if got := target.seen()[1]; got != (rng{100, 10}) {
					t.Errorf("flushed %v, want the good range alone", got)
				}
			})
		})
	}
}

func TestAnEmptyRangeIsDoneAtOnce(t *testing.T) {
	target := &recorder{}
	c := flush.NewCommitter(target, flush.Options{})
	if b := c.Commit(10, 0); !isDone(b) || b.Err() != nil {
		t.Errorf("done %v, %v; want true, nil", isDone(b), b.Err())
	}
	if err := c.Flush(t.Context(), 0, 0); err != nil {
		t.Error(err)
	}
	if got := target.seen(); len(got) != 0 {
		t.Errorf("calls %v, want none", got)
	}
}

func TestWhatIsCutOffWhileABatchFormsIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		s := &sized{recorder: target}
		s.length.Store(1000)
		c := flush.NewCommitter(s, flush.Options{})
		_ = c.Commit(0, 1)
		synctest.Wait()
		_ = c.Commit(100, 10)
		batch := c.Commit(900, 100)
		s.length.Store(500)
		gate <- nil
		gate <- nil
		if err := batch.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := target.seen()[1]; got != (rng{100, 400}) {
			t.Errorf("flushed %v, want {100 400}", got)
		}
	})
}

// whole is a target with all optional methods.
type whole struct {
	sized
	flushes, writebacks atomic.Int64
	startWriteback      func(off, n int64) error
}

func (w *whole) Flush() error {
	w.flushes.Add(1)
	if w.flush == nil {
		return nil
	}
	return w.flush(int(w.flushes.Load()), rng{})
}

func (w *whole) StartWriteback(off, n int64) error {
	w.writebacks.Add(1)
	if w.startWriteback == nil {
		return nil
	}
	return w.startWriteback(off, n)
}

func TestCommitAllFlushesTheWholeTarget(t *testing.T) {
	rec := func() *recorder { return &recorder{} }
	t.Run("by its Flush", func(t *testing.T) {
		w := &whole{sized: sized{recorder: rec()}} // empty, which is flushed too
		c := flush.NewCommitter(w, flush.Options{})
		if err := c.CommitAll().Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(w.seen()) != 0 || w.flushes.Load() != 1 {
			t.Errorf("FlushRange %v, Flush %d times; want none and 1", w.seen(), w.flushes.Load())
		}
	})
	t.Run("by its Len", func(t *testing.T) {
		s := &sized{recorder: rec()}
		s.length.Store(77)
		c := flush.NewCommitter(s, flush.Options{})
		if err := c.CommitAll().Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.seen(); !slices.Equal(got, []rng{{0, 77}}) {
			t.Errorf("FlushRange %v, want {0 77}", got)
		}
	})
	t.Run("knowing nothing", func(t *testing.T) {
		r := rec()
		c := flush.NewCommitter(r, flush.Options{})
		if err := c.CommitAll().Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.seen(); !slices.Equal(got, []rng{{0, math.MaxInt64}}) {
			t.Errorf("FlushRange %v, want all there can be", got)
		}
		if s := c.Stats(); s.Bytes != 0 {
			t.Errorf("stats count %d bytes of an unknown length", s.Bytes)
		}
	})
	t.Run("together with ranges", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, gate := gated()
			w := &whole{sized: sized{recorder: r}}
			w.length.Store(100)
			c := flush.NewCommitter(w, flush.Options{})
			_ = c.Commit(0, 1)
			synctest.Wait()
			if c.Commit(5, 5) != c.CommitAll() {
				t.Error("two batches, want one")
			}
			gate <- nil
			gate <- nil
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if len(w.seen()) != 1 || w.flushes.Load() != 1 {
				t.Errorf("FlushRange %v, Flush %d times; want 1 and 1", w.seen(), w.flushes.Load())
			}
		})
	})
}
