package async_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// TestExecuteCallsOnce: a function that was accepted is called once, with nil or
// with what keeps it from being run.
func TestExecuteCallsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := async.NewPool(async.PoolOptions{Flush: async.LaneOptions{Width: 1, Queue: 1}})
		check(t, err)
		quit := make(chan struct{})
		calls := map[string][]error{}
		run := func(name string, wait bool) error {
			return async.Execute(p, async.LaneFlush, func(dropped error) {
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
		}{{"runs", true, nil}, {"dropped", false, nil}, {"overloaded", false, async.ErrOverloaded}} {
			if err := run(x.name, x.wait); err != x.want {
				t.Errorf("%s: got %v, want %v", x.name, err, x.want)
			}
			synctest.Wait()
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		_ = p.CloseContext(done)
		if err := run("closed", false); err != async.ErrClosed {
			t.Errorf("closed: got %v, want ErrClosed", err)
		}
		close(quit)
		<-p.Done()
		if len(calls) != 2 || len(calls["runs"]) != 1 || calls["runs"][0] != nil ||
			len(calls["dropped"]) != 1 || calls["dropped"][0] != async.ErrClosed {
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
	onPanic := func(async.Lane, string, *async.PanicError) { println("hook was called") }
	crashes := map[string]func(){
		"option": func() {
			p, _ := async.NewPool(async.PoolOptions{CrashOnPanic: true, Hooks: async.Hooks{OnPanic: onPanic}})
			_ = async.Go(bg, p, func(context.Context) (int, error) { panic("the task's own words") }).Wait()
		},
		"execute": func() {
			p, _ := async.NewPool(async.PoolOptions{Hooks: async.Hooks{OnPanic: onPanic}})
			_ = async.Execute(p, async.LaneFlush, func(error) { panic("the task's own words") })
			select {}
		},
		"hook": func() {
			p, _ := async.NewPool(async.PoolOptions{Hooks: async.Hooks{OnDone: func(async.Lane, string, time.Duration, error) {
				println("hook was called")
				panic("the task's own words")
			}}})
			_ = async.Go(bg, p, value(1)).Wait()
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
			for _, want := range []string{"hook was called", "panic: ", "the task's own words", "task_test.go"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("output lacks %q:\n%s", want, out)
				}
			}
		})
	}
}
