package async

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// TestLanesDoNotWait: each makes progress while the others are full of stuck
// tasks.
// Semantics 17, promise 1.
func TestLanesDoNotWait(t *testing.T) {
	for free := range lanes {
		t.Run(free.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := LaneOptions{Width: 2, Queue: 2}
				p, err := NewPool(PoolOptions{Short: o, Flush: o, Page: o, Meta: o})
				if err != nil {
					t.Fatal(err)
				}
				quit := make(chan struct{})
				stuck := func(context.Context) (int, error) { <-quit; return 0, nil }
				for l := range lanes {
					for range 5 {
						if l != free {
							submitOwned(t.Context(), p.lane(l), opGo, stuck, nil)
						}
					}
				}
				synctest.Wait()
				for i := range 10 {
					f := submitOwned(t.Context(), p.lane(free), opGo, func(context.Context) (int, error) { return i, nil }, nil)
					if v, err := f.Await(t.Context()); v != i || err != nil {
						t.Fatalf("got (%d, %v), want (%d, nil)", v, err, i)
					}
				}
				s := p.Stats()
				for l, ls := range map[Lane]LaneStats{LaneShort: s.Short, LaneFlush: s.Flush, LanePage: s.Page, LaneMeta: s.Meta} {
					if l != free && (ls.Running != 2 || ls.Queued != 2 || ls.Overloaded != 1) {
						t.Errorf("%v: %+v", l, ls)
					}
				}
				close(quit)
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestGoDoesNotPassThoseWhoWait: room that appears is theirs who wait for it,
// also in the moment before a worker has given it to them.
func TestGoDoesNotPassThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := NewPool(PoolOptions{Short: LaneOptions{Width: 1, Queue: 1}})
		if err != nil {
			t.Fatal(err)
		}
		one := func(context.Context) (int, error) { return 1, nil }
		quit, hold := make(chan struct{}), make(blocker)
		first := Go(t.Context(), p, func(context.Context) (int, error) { <-quit; return 0, nil })
		first.subscribe(&callback{w: hold}) // keeps the worker from looking at the queue
		second := Go(t.Context(), p, one)
		third := make(chan *Future[int])
		go func() { third <- GoWait(t.Context(), p, one) }()
		synctest.Wait()
		close(quit)
		synctest.Wait() // now there is room
		if err := Go(t.Context(), p, one).Err(); err != ErrOverloaded {
			t.Errorf("Go while another waits for room: got %v, want ErrOverloaded", err)
		}
		close(hold)
		for _, f := range []*Future[int]{second, <-third} {
			if v, err := f.Await(t.Context()); v != 1 || err != nil {
				t.Errorf("got (%d, %v), want (1, nil)", v, err)
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A blocker is a waiter that does what no waiter may.
type blocker chan struct{}

func (b blocker) resolved(int) *callback {
	<-b
	return nil
}

// TestExecuteTellsOnce: a function that was accepted is called once, with nil
// or with what keeps it from being run.
func TestExecuteTellsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := NewPool(PoolOptions{Flush: LaneOptions{Width: 1, Queue: 1}})
		if err != nil {
			t.Fatal(err)
		}
		quit := make(chan struct{})
		calls := map[string][]error{}
		run := func(name string, wait bool) error {
			return p.execute(LaneFlush, opFlush, func(dropped error) {
				calls[name] = append(calls[name], dropped)
				if wait {
					<-quit
				}
			})
		}
		for _, x := range []struct {
			name string
			wait bool
			want error
		}{{"runs", true, nil}, {"dropped", false, nil}, {"overloaded", false, ErrOverloaded}} {
			if err := run(x.name, x.wait); err != x.want {
				t.Errorf("%s: got %v, want %v", x.name, err, x.want)
			}
			synctest.Wait()
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		_ = p.CloseContext(done)
		if err := run("closed", false); err != ErrClosed {
			t.Errorf("closed: got %v, want ErrClosed", err)
		}
		close(quit)
		<-p.Done()
		if len(calls) != 2 || len(calls["runs"]) != 1 || calls["runs"][0] != nil ||
			len(calls["dropped"]) != 1 || calls["dropped"][0] != ErrClosed {
			t.Errorf("calls: %v", calls)
		}
		if s := p.Stats().Flush; s.Done != 1 || s.Dropped != 1 || s.Overloaded != 1 {
			t.Errorf("stats: %+v", s)
		}
	})
}

// TestCrashes: with CrashOnPanic, and in code of this module, a panic ends the
// process, whatever the executor does with panics; so does one in a hook.
func TestCrashes(t *testing.T) {
	crashes := map[string]func(){
		"option": func() {
			p, _ := NewPool(PoolOptions{CrashOnPanic: true, Hooks: Hooks{
				OnPanic: func(Lane, string, *PanicError) { println("hook was called") },
			}})
			_ = Go(context.Background(), p, func(context.Context) (int, error) { panic("the task's own words") }).Wait()
		},
		"execute": func() {
			p, _ := NewPool(PoolOptions{})
			_ = p.execute(LaneFlush, opFlush, func(error) { println("hook was called"); panic("the task's own words") })
			select {}
		},
		"hook": func() {
			p, _ := NewPool(PoolOptions{Hooks: Hooks{OnDone: func(Lane, string, time.Duration, error) {
				println("hook was called")
				panic("the task's own words")
			}}})
			_ = Go(context.Background(), p, func(context.Context) (int, error) { return 1, nil }).Wait()
		},
	}
	if crash := crashes[os.Getenv("ASYNC_TEST_CRASH")]; crash != nil {
		crash()
		return
	}
	testutil.RequireProcesses(t)
	for name := range crashes {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestCrashes$")
			cmd.Env = append(os.Environ(), "ASYNC_TEST_CRASH="+name)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("the process lived on:\n%s", out)
			}
			for _, want := range []string{"hook was called", "panic: ", "the task's own words", "run_test.go"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("output lacks %q:\n%s", want, out)
				}
			}
		})
	}
}
