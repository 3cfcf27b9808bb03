package flush_test

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/flush"
)

func TestRequestDuringABatchIsNotServedByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{})
		first := c.Commit(0, 10)
		synctest.Wait() // its call has begun
		late := c.Commit(0, 10)
		if late == first {
			t.Fatal("a request joined a batch that was running")
		}
		gate <- nil
		synctest.Wait()
		if !isDone(first) || isDone(late) {
			t.Fatalf("after the first call: first done %v, late done %v; want true, false", isDone(first), isDone(late))
		}
		gate <- nil
		if err := late.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := target.seen(); len(got) != 2 {
			t.Errorf("calls %v, want 2", got)
		}
	})
}

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
				c.Commit(1, 1)
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
			c.Commit(0, 10)
			c.Commit(1000, 10)
			c.Commit(10, 10)
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

func TestAThousandRequestsCompleteExactlyOnceEach(t *testing.T) {
	for _, e := range executors {
		t.Run(e.name, func(t *testing.T) {
			target := &recorder{}
			c := flush.NewCommitter(target, flush.Options{Execute: e.execute})
			var called, waited atomic.Int64
			var wg sync.WaitGroup
			for g := range 50 {
				wg.Go(func() {
					for i := range 20 {
						b := c.Commit(int64(g), int64(i+1))
						b.OnDone(func(error) { called.Add(1) })
						if err := b.Wait(t.Context()); err != nil {
							t.Errorf("Wait: %v", err)
						}
						waited.Add(1)
					}
				})
			}
			wg.Wait()
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			s := c.Stats()
			if called.Load() != 1000 || waited.Load() != 1000 || s.Requests != 1000 || s.Waiting != 0 {
				t.Errorf("callbacks %d, waits %d, stats %+v; want 1000 of each and none waiting", called.Load(), waited.Load(), s)
			}
			if n := len(target.seen()); int64(n) != s.Batches || n > 1000 {
				t.Errorf("%d calls for %d batches", n, s.Batches)
			}
		})
	}
}

func TestADoneContextEndsTheWaitNotTheBatch(t *testing.T) {
	cause := errors.New("lost patience")
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{})
		running := c.Commit(0, 1)
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		queued := make(chan error)
		go func() { queued <- c.Flush(ctx, 8, 8) }()
		synctest.Wait()
		cancel(cause)
		if err := <-queued; err != cause {
			t.Errorf("queued Flush returned %v, want the cause", err)
		}
		if err := running.Wait(ctx); err != cause {
			t.Errorf("Wait for a running batch returned %v, want the cause", err)
		}
		if err := c.Flush(ctx, 0, 1); err != cause {
			t.Errorf("Flush with a done context returned %v, want the cause", err)
		}
		gate <- nil
		gate <- nil
		synctest.Wait()
		if got, want := target.seen(), []rng{{0, 1}, {8, 8}}; !slices.Equal(got, want) {
			t.Errorf("calls %v, want %v: the abandoned request is still served", got, want)
		}
		if err := running.Wait(ctx); err != nil {
			t.Errorf("Wait with both done returned %v, want the outcome", err)
		}
	})
}

func TestFlushKeepsADeadlineAlsoWhenAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Flush(ctx, 0, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush returned %v, want a deadline exceeded", err)
		}
		gate <- nil
	})
}

func TestFlushWithoutADeadlineRunsInItsCallerWhenAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		caller := goroutine()
		c := flush.NewCommitter(&recorder{flush: func(int, rng) error {
			if goroutine() != caller {
				t.Error("another goroutine flushes for a lone caller")
			}
			cancel()
			return errDisk
		}}, flush.Options{})
		if err := c.Flush(ctx, 0, 1); err != errDisk {
			t.Errorf("Flush returned %v, want the outcome", err)
		}
	})
}

// goroutine is the heading of the caller's stack, which has its number.
func goroutine() string {
	var b [64]byte
	heading, _, _ := strings.Cut(string(b[:runtime.Stack(b[:], false)]), " [")
	return heading
}

func TestAFailedBatchFailsExactlyItsMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{})
		before := c.Commit(0, 1)
		synctest.Wait()
		member, mate := c.Commit(1, 1), c.Commit(2, 1)
		gate <- nil
		synctest.Wait()
		after := c.Commit(3, 1)
		gate <- errDisk
		gate <- nil
		for _, tt := range []struct {
			name  string
			batch *flush.Batch
			want  error
		}{{"before", before, nil}, {"member", member, errDisk}, {"mate", mate, errDisk}, {"after", after, nil}} {
			if err := tt.batch.Wait(t.Context()); err != tt.want || tt.batch.Err() != tt.want {
				t.Errorf("%s: Wait %v, Err %v, want %v", tt.name, err, tt.batch.Err(), tt.want)
			}
		}
		if s := c.Stats(); s.Failed != 1 || s.LastError != errDisk.Error() {
			t.Errorf("stats %+v, want one failure, %q", s, errDisk)
		}
	})
}

func TestAFinalFailureFailsAllLaterRequestsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{})
		running := c.Commit(0, 1)
		synctest.Wait()
		waiting := c.Commit(1, 1)
		final := &fs.PathError{Op: "flush", Path: "name", Err: finalError{}}
		gate <- final
		for name, b := range map[string]*flush.Batch{"running": running, "waiting": waiting} {
			if err := b.Wait(t.Context()); err != final {
				t.Errorf("%s: %v, want %v", name, err, final)
			}
		}
		synctest.Wait()
		if got := c.Commit(2, 1).Err(); got != final {
			t.Errorf("later Commit: %v, want %v", got, final)
		}
		if got := c.Commit(2, 0).Err(); got != final {
			t.Errorf("later empty Commit: %v, want %v", got, final)
		}
		if got := c.CommitAll().Err(); got != final {
			t.Errorf("later CommitAll: %v, want %v", got, final)
		}
		if got := c.Flush(t.Context(), 2, 1); got != final {
			t.Errorf("later Flush: %v, want %v", got, final)
		}
		if got := c.Close(t.Context()); got != final {
			t.Errorf("Close: %v, want %v", got, final)
		}
		if got := c.Commit(2, 1).Err(); got != final {
			t.Errorf("Commit after Close: %v, want %v", got, final)
		}
		if n := len(target.seen()); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
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
				c.Commit(0, 1)
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
		c.Commit(0, 1)
		synctest.Wait()
		c.Commit(100, 10)
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
			c.Commit(0, 1)
			synctest.Wait()
			if c.Commit(5, 5) != c.CommitAll() {
				t.Error("two batches, want one")
			}
			gate <- nil
			gate <- nil
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(w.seen()) != 1 || w.flushes.Load() != 1 {
				t.Errorf("FlushRange %v, Flush %d times; want 1 and 1", w.seen(), w.flushes.Load())
			}
		})
	})
}

// A member's plain stores are visible to the call that serves it. Fake time, not a
// channel, tells when all have joined, so that the race detector sees no other order
// between the two than the committer's.
func TestStoresOfAMemberHappenBeforeTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var memory [8]int
		target := &recorder{flush: func(call int, r rng) error {
			if call == 1 {
				<-time.After(time.Second)
				return nil
			}
			for i := r.off; i < r.off+r.n; i++ {
				if memory[i] != int(i)+1 {
					t.Errorf("cell %d holds %d in the call that serves its writer", i, memory[i])
				}
			}
			return nil
		}}
		c := flush.NewCommitter(target, flush.Options{})
		c.Commit(0, 1)
		var wg sync.WaitGroup
		for i := range memory {
			wg.Go(func() {
				<-time.After(time.Millisecond) // the first call has begun
				memory[i] = i + 1
				if err := c.Flush(t.Context(), int64(i), 1); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(target.seen()); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
	})
}

func TestJoiningAllocatesNothing(t *testing.T) {
	q := &queue{}
	c := flush.NewCommitter(&recorder{}, flush.Options{Execute: q.execute})
	c.Commit(0, 1)
	make := func() any { return new(int) }
	if n := testing.AllocsPerRun(100, func() { c.Commit(1, 1).Attach(make) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	for q.runOne() {
	}
}
