package core_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// needsLocks skips the test where the system has no locks of whole files.
func needsLocks(t testing.TB) {
	t.Helper()
	f, err := core.OpenFile(tempFile(t, []byte("x")), core.Options{})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("locks of whole files are missing: %v", err)
	}
	check(t, err)
	check(t, f.Close())
}

// An attempt is an opening in another goroutine.
type attempt struct {
	f    *core.File
	err  error
	done chan struct{}
}

func (a *attempt) outcome(t *testing.T) (*core.File, error) {
	t.Helper()
	select {
	case <-a.done:
	case <-time.After(time.Minute):
		t.Fatal("the opening still waits")
	}
	return a.f, a.err
}

// The ways to wait: with a goroutine, and without.
var waitingWays = map[string]func(context.Context, string, core.Options) (*core.File, error){
	"OpenFileContext": core.OpenFileContext,
	"MapContext": func(ctx context.Context, name string, o core.Options) (*core.File, error) {
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return core.MapContext(ctx, file, o)
	},
	"StartOpen": func(ctx context.Context, name string, o core.Options) (*core.File, error) {
		return awaited(func(resume func(func(error)), done func(*core.File, error)) {
			core.StartOpen(ctx, name, o, resume, done)
		})
	},
	"StartMap": func(ctx context.Context, name string, o core.Options) (*core.File, error) {
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return awaited(func(resume func(func(error)), done func(*core.File, error)) {
			core.StartMap(ctx, file, o, resume, done)
		})
	},
}

// awaited takes the steps of a starting in the calling goroutine.
func awaited(start func(resume func(func(error)), done func(*core.File, error))) (f *core.File, err error) {
	steps, over := make(chan func(error), 1), make(chan struct{})
	start(func(step func(error)) { steps <- step }, func(got *core.File, failed error) {
		f, err = got, failed
		close(over)
	})
	for {
		select {
		case step := <-steps:
			step(nil)
		case <-over:
			return f, err
		}
	}
}

// waiter begins an opening that waits for the exclusive lock of a file that is
// locked shared, and returns when its request is queued: then no other
// opening gets the lock.
func waiter(t *testing.T, ctx context.Context, name string, o core.Options,
	open func(context.Context, string, core.Options) (*core.File, error)) *attempt {
	t.Helper()
	o.Wait, o.Access = true, core.ReadWrite
	a := &attempt{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.f, a.err = open(ctx, name, o)
	}()
	t.Cleanup(func() {
		if f, err := a.outcome(t); err == nil {
			_ = f.Close()
		}
	})
	testutil.WaitUntil(t, "the opening is queued", func() bool {
		f, err := core.Open(name)
		if err == nil {
			check(t, f.Close())
		}
		return errors.Is(err, lock.ErrLocked)
	})
	return a
}

// What the options ask for happens once the lock is held, to the file that the
// name means then.
func TestWaitForTheLock(t *testing.T) {
	needsLocks(t)
	const unchanged = "as it was"
	nothing := func(*testing.T, string) {}
	for _, c := range []struct {
		name      string
		o         core.Options
		meanwhile func(t *testing.T, name string)
		want      string
		err       error
	}{
		{"released", core.Options{}, nothing, unchanged, nil},
		{"to be emptied", core.Options{Truncate: true, Size: 3}, nothing, "\x00\x00\x00", nil},
		{"to be longer", core.Options{Size: 11}, nothing, unchanged + "\x00\x00", nil},
		{"window past the end", core.Options{Length: 100}, nothing, unchanged, core.ErrRange},
		{"window that was past the end", core.Options{Length: 12}, longer, "as it was no", nil},
		{"longer", core.Options{}, longer, "as it was no more", nil},
		{"made longer by less", core.Options{Size: 3}, longer, "as it was no more", nil},
	} {
		for way, open := range waitingWays {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				testutil.NoLeaks(t)
				name := tempFile(t, []byte(unchanged))
				holder := opened(t, name, core.Options{})
				a := waiter(t, t.Context(), name, c.o, open)
				if got, err := os.ReadFile(name); err != nil || string(got) != unchanged {
					t.Errorf("while the opening waits: %q, %v", got, err)
				}
				c.meanwhile(t, name)
				check(t, holder.Close())
				expect(t, a, c.want, c.err)
			})
		}
	}
}

// longer makes a file longer that another descriptor has locked.
func longer(t *testing.T, name string) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let others write to a locked file")
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	_, err = f.WriteString(" no more")
	check(t, err)
	check(t, f.Close())
}

// expect waits for the opening, and for a file with these contents or an error.
func expect(t *testing.T, a *attempt, want string, is error) {
	t.Helper()
	f, err := a.outcome(t)
	if !errors.Is(err, is) {
		t.Fatalf("got %v, want %v", err, is)
	}
	if err != nil {
		return
	}
	if got := string(contents(t, f)); got != want {
		t.Errorf("the file has %q, not %q", got, want)
	}
	if _, err := core.Open(f.Name()); !errors.Is(err, lock.ErrLockedHere) {
		t.Errorf("the file of that name is not locked: %v", err)
	}
	check(t, f.Close())
}

func TestWaitWhileTheFileIsReplaced(t *testing.T) {
	needsLocks(t)
	if runtime.GOOS == "windows" {
		t.Skip("Windows renames nothing over a file that is open")
	}
	replace := func(t *testing.T, name string) {
		check(t, os.WriteFile(name+".next", []byte("another"), 0o600))
		check(t, os.Rename(name+".next", name))
	}
	remove := func(t *testing.T, name string) { check(t, os.Remove(name)) }
	for _, c := range []struct {
		name      string
		o         core.Options
		meanwhile func(t *testing.T, name string)
		want      string
		err       error
	}{
		{"replaced", core.Options{}, replace, "another", nil},
		{"replaced, with Create", core.Options{Create: true, Size: 1}, replace, "another", nil},
		{"removed", core.Options{}, remove, "", fs.ErrNotExist},
		{"removed, with Create", core.Options{Create: true, Size: 2}, remove, "\x00\x00", nil},
	} {
		for _, way := range []string{"OpenFileContext", "StartOpen"} {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				testutil.NoLeaks(t)
				name := tempFile(t, []byte("the first"))
				holder := opened(t, name, core.Options{})
				a := waiter(t, t.Context(), name, c.o, waitingWays[way])
				c.meanwhile(t, name)
				check(t, holder.Close())
				expect(t, a, c.want, c.err)
			})
		}
	}

	// The one that replaced it holds the lock of the new file as well.
	t.Run("replaced and locked", func(t *testing.T) {
		name := tempFile(t, []byte("the first"))
		first := opened(t, name, core.Options{})
		a := waiter(t, t.Context(), name, core.Options{}, core.OpenFileContext)
		replace(t, name)
		second := opened(t, name, core.Options{})
		check(t, first.Close())
		testutil.WaitUntil(t, "the opening is queued for the new file", func() bool {
			f, err := core.Open(name)
			if err == nil {
				check(t, f.Close())
			}
			return err != nil
		})
		check(t, second.Close())
		expect(t, a, "another", nil)
	})
}

func TestWaitThatIsGivenUp(t *testing.T) {
	needsLocks(t)
	cause := errors.New("enough")
	for way, open := range waitingWays {
		t.Run(way, func(t *testing.T) {
			testutil.NoLeaks(t)
			name := tempFile(t, []byte("as it was"))
			holder := opened(t, name, core.Options{})
			ctx, cancel := context.WithCancelCause(t.Context())
			a := waiter(t, ctx, name, core.Options{Truncate: true}, open)
			cancel(cause)
			expect(t, a, "", cause)
			var pe *fs.PathError
			if _, err := a.outcome(t); !errors.As(err, &pe) || pe.Path != name {
				t.Errorf("the error does not name the file: %v", err)
			}
			another := opened(t, name, core.Options{}) // no request is left in the queue
			check(t, another.Close())
			if got := string(contents(t, holder)); got != "as it was" {
				t.Errorf("the file has %q", got)
			}
			check(t, holder.Close())
			last := opened(t, name, core.Options{Access: core.ReadWrite})
			check(t, last.Close())
		})
	}
}

// The step that is left after the wait is dropped: nothing stays locked or open.
func TestWaitWhoseRestIsDropped(t *testing.T) {
	needsLocks(t)
	testutil.NoLeaks(t)
	name := tempFile(t, []byte("as it was"))
	holder := opened(t, name, core.Options{})
	reason := errors.New("no room")
	var got error
	core.StartOpen(t.Context(), name, core.Options{Access: core.ReadWrite, Truncate: true, Wait: true},
		func(step func(error)) { step(reason) }, func(_ *core.File, err error) { got = err })
	check(t, holder.Close())
	if got != reason {
		t.Errorf("the error is %v", got)
	}
	f := opened(t, name, core.Options{Access: core.ReadWrite})
	if got := string(contents(t, f)); got != "as it was" {
		t.Errorf("the file has %q", got)
	}
	check(t, f.Close())
}

// Another process locks a file that this call has created, before this call
// does. Then it is no longer this call's to remove.
func TestWaitForAFileThatIsCreated(t *testing.T) {
	needsLocks(t)
	testutil.RequireProcesses(t) // the second starts where no test may be skipped
	for _, given := range []string{"up", "to another, which fails"} {
		t.Run("given "+given, func(t *testing.T) {
			testutil.NoLeaks(t)
			name := tempFile(t, nil)
			check(t, os.Remove(name))
			other := sync.OnceValue(func() *testutil.Process { return lockingProcess(t, name) })
			t.Cleanup(sys.Inject(func(op sys.Op) error {
				if op == sys.OpFlock {
					other()
				}
				return nil
			}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			a := waiter(t, ctx, name, core.Options{Create: true, Length: 100}, core.OpenFileContext)
			if given == "up" {
				cancel()
				expect(t, a, "", context.Canceled)
			}
			other().Say("release")
			_, err := other().Wait()
			check(t, err)
			if given != "up" {
				expect(t, a, "", core.ErrRange)
			}
			if got, err := os.ReadFile(name); err != nil || string(got) != "theirs" {
				t.Errorf("the file has %q, %v", got, err)
			}
		})
	}
}

// lockElsewhere holds the lock of a file until a line arrives, and stores in it.
func lockElsewhere() error {
	f, err := core.OpenFile(os.Getenv("FILE"), core.Options{Access: core.ReadWrite, Size: 6})
	if err != nil {
		return err
	}
	testutil.Say("locked")
	testutil.Hear()
	if _, err := f.WriteAt([]byte("theirs"), 0); err != nil {
		return err
	}
	return f.Close()
}

// lockingProcess starts a process that holds the lock of the file.
func lockingProcess(t *testing.T, name string) *testutil.Process {
	t.Helper()
	p := testutil.Reexec(t, "lock", "FILE="+name)
	if line := p.Hear(); line != "locked" {
		t.Fatalf("the other process says %q", line)
	}
	return p
}

func TestWaitForAnotherProcess(t *testing.T) {
	needsLocks(t)
	for way, open := range waitingWays {
		t.Run(way, func(t *testing.T) {
			name := tempFile(t, []byte("ours__"))
			other := lockingProcess(t, name)
			ctx, cancel := context.WithCancel(t.Context())
			given := waiter(t, ctx, name, core.Options{}, open)
			cancel()
			expect(t, given, "", context.Canceled)
			a := waiter(t, t.Context(), name, core.Options{}, open)
			other.Say("release")
			expect(t, a, "theirs", nil)
			_, err := other.Wait()
			check(t, err)
		})
	}
}

// A file that cannot be locked is an error at once, and so is a wait for no lock.
func TestWaitForNoLock(t *testing.T) {
	name := tempFile(t, []byte("x"))
	if _, err := core.OpenFile(name, core.Options{Wait: true, NoLock: true}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("with NoLock: %v", err)
	}
	if _, err := core.NewAnonymous(10, core.Options{Wait: true}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("memory without a file: %v", err)
	}
	if _, err := core.NewShared("x", 10, core.Options{Wait: true}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("shared memory: %v", err)
	}
	defer sys.Inject(func(op sys.Op) error {
		if op == sys.OpFlock {
			return errors.ErrUnsupported
		}
		return nil
	})()
	_, err := core.OpenFile(name, core.Options{Wait: true})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("where nothing can be locked: %v", err)
	}
	if _, err := core.OpenFile(name+".absent", core.Options{Wait: true, Access: core.ReadWrite, Create: true}); err == nil {
		t.Error("created where nothing can be locked")
	}
	if _, err := os.Stat(name + ".absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}
