package lane

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/internal/invariant"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// TestQueue compares a queue with a slice.
func TestQueue(t *testing.T) {
	rnd := rand.New(rand.NewPCG(testutil.Seed(t), 0))
	var q queue
	var model []*Node
	for range 10_000 {
		switch rnd.IntN(20) {
		case 0:
			list := q.takeAll()
			for _, n := range model {
				if list != n || n.queued || n.prev != nil {
					t.Fatal("takeAll: another list")
				}
				list, n.next = n.next, nil
			}
			if list != nil {
				t.Fatal("takeAll: too long a list")
			}
			model = nil
		case 1, 2, 3, 4, 5, 6, 7, 8:
			if len(model) > 0 {
				i := rnd.IntN(len(model))
				q.remove(model[i])
				model = slices.Delete(model, i, i+1)
			}
		default:
			n := new(Node)
			q.push(n)
			model = append(model, n)
		}
		n := q.head
		for i, want := range model {
			if n != want || !n.queued || i > 0 && n.prev != model[i-1] {
				t.Fatalf("%d of %d: another node", i, len(model))
			}
			n = n.next
		}
		if n != nil || q.len != len(model) || len(model) > 0 && q.tail != model[len(model)-1] || len(model) == 0 && q.tail != nil {
			t.Fatalf("length %d, want %d", q.len, len(model))
		}
	}
}

// TestLanesDoNotWait: each makes progress while the others are full of tasks
// that are stuck.
func TestLanesDoNotWait(t *testing.T) {
	const lanes = 4
	for free := range lanes {
		synctest.Test(t, func(t *testing.T) {
			g := group(t, Options{}, Shape{2, 2}, Shape{2, 2}, Shape{2, 2}, Shape{2, 2})
			quit := make(chan struct{})
			defer close(quit)
			for i := range lanes {
				for range 5 {
					if i != free {
						_ = newFake(t.Context(), g.Lane(i), until(quit)).Submit()
					}
				}
			}
			synctest.Wait()
			for range 10 {
				<-submit(t, g.Lane(free), nothing).done
			}
			for i := range lanes {
				if i != free {
					stats(t, g.Lane(i), Stats{Queued: 2, Running: 2, Overloaded: 1})
				}
			}
		})
	}
}

// TestSubmitDoesNotPassThoseWhoWait: room that appears belongs to the callers
// that wait for it, also in the moment before a worker has given it to them.
func TestSubmitDoesNotPassThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := group(t, Options{}, Shape{1, 1}).Lane(0)
		quit, hold := make(chan struct{}), make(chan struct{})
		first := newFake(t.Context(), l, until(quit))
		first.finish = func() { <-hold } // keeps the worker from the queue
		if err := first.Submit(); err != nil {
			t.Fatal(err)
		}
		second := submit(t, l, nothing)
		third := newFake(t.Context(), l, nothing)
		go func() { wantErr(t, "SubmitWait", third.SubmitWait(), nil) }()
		synctest.Wait()
		close(quit)
		synctest.Wait() // now there is room
		wantErr(t, "Submit while another waits for room", newFake(t.Context(), l, nothing).Submit(), ErrOverloaded)
		close(hold)
		<-second.done
		<-third.done
	})
}

// TestRoomIsForTheOldest: waits for room end in the order they began, by a
// context, by room, or by the end of the group.
func TestRoomIsForTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, Options{}, Shape{1, 1})
		l := g.Lane(0)
		gates := make(chan struct{})
		step := func(context.Context) error { <-gates; return nil }
		submit(t, l, step)
		submit(t, l, step)
		type outcome struct {
			i   int
			err error
		}
		ended := make(chan outcome, 5)
		ctx, cancel := context.WithCancelCause(t.Context())
		for i := range 5 {
			ctx := ctx
			if i != 1 {
				ctx = t.Context()
			}
			go func() { ended <- outcome{i, newFake(ctx, l, step).SubmitWait()} }()
			synctest.Wait()
		}
		stats(t, l, Stats{Queued: 1, Running: 1, Waiting: 5})
		cancel(errTest)
		for _, want := range []outcome{{1, errTest}, {0, nil}, {2, nil}} {
			if got := <-ended; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
			gates <- struct{}{}
			synctest.Wait()
		}
		close(gates)
		got := []outcome{<-ended, <-ended}
		if want := []outcome{{3, nil}, {4, nil}}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// TestExecutorThatRefuses: what the executor does not start fails with its
// error if no worker is left, and so do callers that wait for room; otherwise
// nothing is lost.
func TestExecutorThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := false
		l := group(t, Options{Start: func(f func()) error {
			if refuse {
				return errTest
			}
			go f()
			return nil
		}}, Shape{2, 1}).Lane(0)
		quit := make(chan struct{})
		busy := submit(t, l, until(quit))
		synctest.Wait()
		refuse = true
		kept := submit(t, l, nothing) // a second worker is refused, the first does it
		synctest.Wait()
		stats(t, l, Stats{Queued: 1, Running: 1})
		close(quit)
		<-busy.done
		<-kept.done
		synctest.Wait()
		lost := submit(t, l, nothing)
		if got := lost.noted(); got != "[claim true finish test]" {
			t.Errorf("calls: got %v", got)
		}
		stats(t, l, Stats{Done: 2, Dropped: 1})
	})
}

// TestAdmittedTaskGetsAWorker: a lane that the executor refused a worker earlier
// starts it when a caller that waited for room is admitted, by the worker that
// has ended a task or by the removal of one.
func TestAdmittedTaskGetsAWorker(t *testing.T) {
	for _, removes := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			refuse := false
			l := group(t, Options{Start: func(f func()) error {
				if refuse {
					return errTest
				}
				go f()
				return nil
			}}, Shape{2, 1}).Lane(0)
			quitFirst, quit := make(chan struct{}), make(chan struct{})
			submit(t, l, until(quitFirst))
			synctest.Wait()
			refuse = true
			next := submit(t, l, until(quit))
			last := submit(t, l, nothing)
			waiting := make(chan error, 1)
			go func() { waiting <- newFake(t.Context(), l, nothing).SubmitWait() }()
			synctest.Wait()
			stats(t, l, Stats{Queued: 2, Running: 1, Waiting: 1})
			refuse = false
			if removes {
				next.cancel()
			} else {
				close(quitFirst)
			}
			wantErr(t, "SubmitWait", <-waiting, nil)
			<-last.done // beside the task that runs until quit, or quitFirst, is closed
			close(quit)
			if removes {
				close(quitFirst)
			}
		})
	}
}

// TestWorkerCannotBeReplaced: when a Goexit has ended the only worker and the
// executor refuses another, what is queued and what waits for room fails.
func TestWorkerCannotBeReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := false
		l := group(t, Options{Start: func(f func()) error {
			if refuse {
				return errTest
			}
			go f()
			return nil
		}}, Shape{1, 1}).Lane(0)
		quit := make(chan struct{})
		exits := submit(t, l, func(context.Context) error { <-quit; runtime.Goexit(); return nil })
		queued := submit(t, l, nothing)
		waiting := make(chan error)
		go func() { waiting <- newFake(t.Context(), l, nothing).SubmitWait() }()
		synctest.Wait()
		refuse = true
		close(quit)
		<-exits.done
		<-queued.done
		if got := queued.noted(); got != "[claim true finish test]" {
			t.Errorf("calls: got %v", got)
		}
		wantErr(t, "SubmitWait", <-waiting, errTest)
		stats(t, l, Stats{Done: 1, Dropped: 1})
		refuse = false
		<-submit(t, l, nothing).done
	})
}

// TestAWorkerSpins: a caller that submits a task when the last one has ended
// finds the same worker, as that checks the queue again before it exits. Red
// when it does not: every task starts a worker then. The group has one P, so
// that the two take turns, and no spin counts as slow.
func TestAWorkerSpins(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const tasks = 200
	for _, spins := range []int{maxSpins, 0} {
		workers := 0
		l := group(t, Options{Start: func(f func()) error { workers++; go f(); return nil }}, Shape{1, 1}).Lane(0)
		l.maxSpins, l.spinner.slow = spins, time.Hour
		for range tasks {
			f := submit(t, l, nothing)
			for ended := false; !ended; {
				select {
				case <-f.done:
					ended = true
				default:
					runtime.Gosched()
				}
			}
		}
		if spins > 0 && workers > tasks/2 || spins == 0 && workers < tasks/2 {
			t.Errorf("%d spins: %d workers for %d tasks", spins, workers, tasks)
		}
	}
}

// TestWidthIsUsed: as many workers as the lane is wide, none more, and none when
// it is idle.
func TestWidthIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A worker whose task has ended its goroutine is replaced before that
		// goroutine is gone, so what is bounded is how many tasks run.
		var alive atomic.Int32
		var mu sync.Mutex
		running, most := 0, 0
		count := func(d int) {
			mu.Lock()
			defer mu.Unlock()
			running += d
			most = max(most, running)
		}
		l := group(t, Options{Start: func(f func()) error {
			alive.Add(1)
			go func() {
				defer alive.Add(-1)
				f()
			}()
			return nil
		}}, Shape{3, 100}).Lane(0)
		for i := range 60 {
			submit(t, l, func(context.Context) error {
				count(1)
				defer count(-1)
				<-time.After(time.Second)
				if i%3 == 0 {
					runtime.Goexit()
				}
				return nil
			})
		}
		<-time.After(10*time.Second - 1)
		stats(t, l, Stats{Queued: 30, Running: 3, Done: 27})
		<-time.After(10*time.Second + 1)
		synctest.Wait()
		stats(t, l, Stats{Done: 60})
		if alive.Load() != 0 || most != 3 {
			t.Errorf("%d workers are left, and up to %d tasks ran; want 0 and 3", alive.Load(), most)
		}
	})
}

// TestInlineWorkersDoNotSpin: the goroutine is the submitter's.
func TestInlineWorkersDoNotSpin(t *testing.T) {
	l := group(t, Options{Inline: true, Start: func(f func()) error { f(); return nil }}, Shape{1, 1}).Lane(0)
	if l.maxSpins != 0 {
		t.Errorf("a worker spins %d times", l.maxSpins)
	}
	f := submit(t, l, nothing)
	<-f.done
	stats(t, l, Stats{Done: 1})
}

// TestStorm lets submitters, cancellations, contexts and the end of the group
// race. Every task that was accepted is finished or taken back, once, and
// nothing runs after the end.
func TestStorm(t *testing.T) {
	for round := range 60 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			seed := testutil.Seed(t)
			g := group(t, Options{}, Shape{1 + round%3, round % 5}, Shape{1, 1})
			var all sync.WaitGroup
			var mu sync.Mutex
			var accepted []*fake
			for i := range 4 {
				rnd := rand.New(rand.NewPCG(seed, uint64(i)))
				all.Go(func() {
					for range 200 {
						ctx, cancel := context.WithCancelCause(t.Context())
						fate := rnd.IntN(8)
						f := newFake(ctx, g.Lane(rnd.IntN(2)), func(ctx context.Context) error {
							switch fate {
							case 0:
								panic("oops")
							case 1:
								runtime.Goexit()
							case 2:
								<-ctx.Done()
							}
							return nil
						})
						err := f.Submit()
						if err == ErrOverloaded {
							if fate == 3 {
								go cancel(errTest)
							}
							err = f.SubmitWait()
						}
						if err == nil {
							mu.Lock()
							accepted = append(accepted, f)
							mu.Unlock()
						}
						switch fate {
						case 2, 3:
							cancel(errTest)
						case 4:
							f.cancel()
						case 5:
							<-f.done
						}
						defer cancel(nil)
					}
				})
			}
			all.Wait()
			if err := g.Close(t.Context()); err != nil {
				t.Error(err)
			}
			for _, f := range accepted {
				<-f.done
				calls := f.noted()
				if strings.Count(calls, "finish")+strings.Count(calls, "removed") != 1 || strings.Count(calls, "claim") > 1 {
					t.Errorf("calls: %v", calls)
				}
			}
			if s := g.Lane(0).Stats(); s.Queued != 0 || s.Running != 0 || s.Waiting != 0 {
				t.Errorf("after Close: %+v", s)
			}
		})
	}
}

// A broken invariant is noticed in builds with the tag, and costs nothing in
// others.
func TestInvariantsAreChecked(t *testing.T) {
	for name, breakIt := range map[string]func(l *Lane){
		"queued without a worker": func(l *Lane) { l.queue.push(new(Node)) },
		"too many workers":        func(l *Lane) { l.workers = l.width + 1 },
		"too many spinning":       func(l *Lane) { l.spinning = 1 },
		"ended more than started": func(l *Lane) { l.ended.Add(1) },
		"drained with a worker":   func(l *Lane) { l.closed, l.drained, l.workers = true, true, 1 },
		"waiting without a worker": func(l *Lane) {
			l.room.PushBack(new(roomWaiter))
		},
	} {
		g := New(Options{Lanes: []Shape{{1, 1}}, Hooks: Hooks{Unwound: unwound}})
		l := g.Lane(0)
		func() {
			defer func() {
				if noticed := recover() != nil; noticed != invariant.Enabled {
					t.Errorf("%s: noticed: %t, want %t", name, noticed, invariant.Enabled)
				}
			}()
			l.mu.Lock()
			breakIt(l)
			l.unlock()
		}()
	}
}

// Close asks what holds the group to let go, and waits until it has.
func TestCloseWaitsForHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, Options{}, Shape{Width: 1, Queue: 1})
		done, ok := g.Hold(func() { t.Error("asked what has let go") })
		if !ok {
			t.Fatal("refused")
		}
		done()
		var asked atomic.Int32
		release, _ := g.Hold(func() { asked.Add(1) })
		closed := make(chan error, 1)
		go func() { closed <- g.Close(t.Context()) }()
		synctest.Wait()
		if len(closed) > 0 || asked.Load() != 1 {
			t.Fatalf("closed %d times, asked %d times", len(closed), asked.Load())
		}
		if _, ok := g.Hold(nil); ok {
			t.Error("held what is being closed")
		}
		release()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		<-g.Done()
	})
}
