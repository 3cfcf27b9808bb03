package flush_test

import (
	"context"
	"errors"
	"io/fs"
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
			if err := c.Close(); err != nil {
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
		for range 50 { // select chooses at random
			if err := running.Wait(ctx); err != nil {
				t.Fatalf("Wait with both done returned %v, want the outcome", err)
			}
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
		if got := c.Close(); got != final {
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

// A member's plain stores are visible to the call that serves it. Fake time,
// not a channel, tells when all have joined, so that the race detector sees no
// other order between the two than the committer's.
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
		_ = c.Commit(0, 1)
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
	_ = c.Commit(0, 1)
	if n := testing.AllocsPerRun(100, func() { _ = c.Commit(1, 1) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	for q.runOne() {
	}
}
