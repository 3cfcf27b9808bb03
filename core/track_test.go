package core_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// tracked switches tracking on for the test.
func tracked(t testing.TB, on core.Tracking) {
	t.Helper()
	core.Track(on)
	t.Cleanup(func() { core.Track(core.Tracking{}) })
}

// profiled returns how many entries of the profile have a call whose description
// contains this.
func profiled(t testing.TB, profile, call string) (n int) {
	t.Helper()
	p := pprof.Lookup(profile)
	if p == nil {
		t.Fatalf("there is no profile %s", profile)
	}
	var b strings.Builder
	check(t, p.WriteTo(&b, 1))
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		var count int
		_, text, _ := strings.Cut("\n"+stack, "\n") // the first one has a title
		if strings.HasPrefix(text, profile) {
			_, text, _ = strings.Cut(text, "\n")
		}
		if _, err := fmt.Sscanf(text, "%d @", &count); err == nil && strings.Contains(text+"\n", call) {
			n += count
		}
	}
	return n
}

// here is how a stack shows the line.
func here(line int) string { return fmt.Sprintf("track_test.go:%d\n", line) }

// line returns the line of its caller.
func line() int {
	_, _, n, _ := runtime.Caller(1)
	return n
}

// Each way to take a pin shows the line that took it, as often as it is held,
// and is gone after the release.
func TestPinsAreProfiled(t *testing.T) {
	tracked(t, core.Tracking{Pins: true})
	f := core.NewMemory("memory", pattern(64*KiB, 1))
	t.Cleanup(func() { _ = f.Close() })
	whole := pinned(t, f, 0, f.Len())
	r := reader(t, f, 0, f.Len())
	var at int
	for _, c := range []struct {
		name string
		take func() (*core.Pin, error)
	}{
		{"Pin", func() (*core.Pin, error) { at = line(); return f.Pin(0, 10) }},
		{"Slice", func() (*core.Pin, error) { at = line(); return whole.Slice(5, 10) }},
		{"Peek", func() (*core.Pin, error) { at = line(); return r.Peek(10) }},
		{"Extend", func() (*core.Pin, error) {
			p, err := f.Pin(0, 5)
			check(t, err)
			at = line() + 1
			p, _, err = p.Extend(10)
			return p, err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var held []*core.Pin
				for range 3 {
					p, err := c.take()
					check(t, err)
					held = append(held, p)
				}
				if n := profiled(t, "fmmap.pins", here(at)); n != 3 {
					t.Errorf("the profile shows %d pins, want 3", n)
				}
				for i, p := range held {
					p.Release()
					p.Release()
					time.Sleep(time.Second)
					if n := profiled(t, "fmmap.pins", here(at)); n != 2-i {
						t.Errorf("the profile shows %d pins after %d of 3 releases", n, i+1)
					}
				}
			})
		})
	}
}

// What is refused is not in the profile, and neither is what was taken before it
// was switched on; what was taken before it was switched off is, until its
// release.
func TestPinsOfOtherTimes(t *testing.T) {
	f := core.NewMemory("memory", pattern(64*KiB, 1))
	t.Cleanup(func() { _ = f.Close() })
	before := pinned(t, f, 0, 10)
	tracked(t, core.Tracking{Pins: true})
	synctest.Test(t, func(t *testing.T) {
		p, err := f.Pin(0, 10)
		taken := line() - 1
		check(t, err)
		core.Track(core.Tracking{})
		if n := profiled(t, "fmmap.pins", here(taken)); n != 1 {
			t.Errorf("the profile shows %d pins after it was switched off, want 1", n)
		}
		p.Release()
		core.Track(core.Tracking{Pins: true})
		for i := range 2 {
			if _, err := p.Slice(0, 1); err == nil {
				t.Error("a released pin was sliced")
			}
			if _, err := f.Pin(0, f.Len()+int64(i)+1); err == nil {
				t.Error("a pin lies outside the window")
			}
		}
		before.Release()
		time.Sleep(time.Second)
		if n := profiled(t, "fmmap.pins", "TestPinsOfOtherTimes"); n != 0 {
			t.Errorf("the profile shows %d pins in the end, want 0", n)
		}
	})
}

// Each way to open a file shows the line, until the file is closed.
func TestFilesAreProfiled(t *testing.T) {
	tracked(t, core.Tracking{Files: true})
	name := tempFile(t, pattern(64*KiB, 1))
	var at int
	for _, c := range []struct {
		name string
		open func() (*core.File, error)
	}{
		{"Open", func() (*core.File, error) { at = line(); return core.Open(name) }},
		{"OpenFile", func() (*core.File, error) { at = line(); return core.OpenFile(name, core.Options{}) }},
		{"Map", func() (*core.File, error) {
			f, err := os.Open(name)
			check(t, err)
			defer f.Close()
			at = line() + 1
			return core.Map(f, core.Options{})
		}},
		{"NewAnonymous", func() (*core.File, error) { at = line(); return core.NewAnonymous(1, core.Options{}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := c.open()
			check(t, err)
			if n := profiled(t, "fmmap.files", here(at)); n != 1 {
				t.Errorf("the profile shows %d files, want 1", n)
			}
			check(t, f.Close())
			if n := profiled(t, "fmmap.files", here(at)); n != 0 {
				t.Errorf("the profile shows %d files after Close, want none", n)
			}
		})
	}
	if _, err := core.Open(name + "missing"); err == nil || pprof.Lookup("fmmap.files").Count() != 0 {
		t.Errorf("a file that is missing: %v, and the profile has %d entries", err, pprof.Lookup("fmmap.files").Count())
	}
}

// A change that waits too long is reported once, with what it waits for and
// with the stacks; one that waits less, or is canceled, is not.
func TestBlockedChangesAreReported(t *testing.T) {
	const after = 10 * time.Second
	for _, c := range []struct {
		name, op string
		change   func(f *core.File) (*core.Change, error)
		pins     []int64 // offsets of those that block it
	}{
		{"close", "close", func(f *core.File) (*core.Change, error) { return f.StartClose(nil) }, []int64{0, 32 * KiB}},
		{"shrink", "truncate", func(f *core.File) (*core.Change, error) { return f.StartTruncate(16*KiB, nil) }, []int64{32 * KiB}},
		{"grow past the room", "truncate", func(f *core.File) (*core.Change, error) { return f.StartTruncate(MiB, nil) }, []int64{0, 32 * KiB}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reports := make(chan core.BlockedChange, 10)
				tracked(t, core.Tracking{Pins: true, BlockedAfter: after, OnBlocked: func(b core.BlockedChange) { reports <- b }})
				f := core.NewMemory("memory", pattern(64*KiB, 1))
				first, err := f.Pin(0, 10)
				taken := line() - 1
				check(t, err)
				second, err := f.Pin(32*KiB, 20)
				check(t, err)
				change, err := c.change(f)
				check(t, err)
				time.Sleep(after - 1)
				synctest.Wait()
				if len(reports) != 0 {
					t.Errorf("reported too early: %+v", <-reports)
				}
				time.Sleep(10 * after)
				synctest.Wait()
				if len(reports) != 1 {
					t.Fatalf("%d reports, want 1", len(reports))
				}
				b := <-reports
				var at []int64
				for _, p := range b.Pins {
					at = append(at, p.Offset)
					if p.Offset == 0 && (p.Len != 10 || !strings.Contains(p.Stack, here(taken))) {
						t.Errorf("the pin at 0 has %d bytes, and was taken by\n%v", p.Len, p.Stack)
					}
				}
				if b.File != "memory" || b.Op != c.op || b.Wait != after || b.Operations != 0 || !slices.Equal(at, c.pins) {
					t.Errorf("the report is %+v, want %s of memory after %v for pins at %v", b, c.op, after, c.pins)
				}
				first.Release()
				second.Release()
				check(t, change.Finish())
				check(t, closed(f))
				synctest.Wait()
				if len(reports) != 0 {
					t.Errorf("reported again: %+v", <-reports)
				}
			})
		})
	}
}

// closed closes f, which may be closed.
func closed(f *core.File) error {
	if err := f.Close(); err != nil && f.Len() > 0 {
		return err
	}
	return nil
}

// Changes that have ended in time, or were canceled, are not reported; one that
// waits for operations counts them.
func TestReportsOfOperationsAndCanceledChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reports := make(chan core.BlockedChange, 10)
		tracked(t, core.Tracking{BlockedAfter: time.Second, OnBlocked: func(b core.BlockedChange) { reports <- b }})
		f := core.NewMemory("memory", pattern(64*KiB, 1))
		p, err := f.Pin(0, f.Len())
		check(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if err := f.TruncateContext(ctx, 10); err == nil {
			t.Error("a file was shortened below a pin")
		}
		shrink, err := f.StartTruncate(10, nil)
		check(t, err)
		time.Sleep(time.Second / 2)
		p.Release()
		check(t, shrink.Finish())
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(reports) != 0 {
			t.Errorf("reported: %+v", <-reports)
		}
		var wg sync.WaitGroup
		end := make(chan struct{})
		for range 2 {
			wg.Go(func() { _ = f.View(func([]byte) error { <-end; return nil }) })
		}
		synctest.Wait()
		closing, err := f.StartClose(nil)
		check(t, err)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(reports) != 1 {
			t.Errorf("%d reports, want 1", len(reports))
		} else if b := <-reports; b.Operations != 2 || len(b.Pins) != 0 {
			t.Errorf("the report is %+v, want one of two operations", b)
		}
		close(end)
		wg.Wait()
		check(t, closing.Finish())
	})
}

// Tracked pins allocate no more than others.
func TestTrackingAllocatesNothing(t *testing.T) {
	f := core.NewMemory("memory", pattern(64*KiB, 1))
	defer f.Close()
	for _, on := range []core.Tracking{{}, {Pins: true}} {
		tracked(t, on)
		take := func() {
			p, err := f.Pin(0, 10)
			if err != nil {
				t.Fatal(err)
			}
			p.Release()
		}
		take()
		if n := testing.AllocsPerRun(1000, take); n > 1 {
			t.Errorf("%+v: a pin allocates %v times, want once", on, n)
		}
	}
}

// abandon, in a process of its own, abandons a file and a pin, closes and
// releases others, and lets a closing wait for the pin. It says what is logged.
func abandon() error {
	logged := make(lines, 16)
	slog.SetDefault(slog.New(slog.NewTextHandler(logged, nil)))
	dir := os.Getenv("FMMAP_TEST_DIR")
	f, err := core.Create(filepath.Join(dir, "closing"), 4096)
	if err != nil {
		return err
	}
	for _, leave := range []func() error{
		func() error { _, err := core.Create(filepath.Join(dir, "abandoned"), 4096); return err },
		func() error { p, err := f.Pin(10, 20); _ = p; return err },
		func() error {
			p, err := f.Pin(0, 1)
			if err == nil {
				p.Release()
			}
			return err
		},
		func() error {
			f, err := core.Create(filepath.Join(dir, "closed"), 4096)
			if err == nil {
				err = f.Close()
			}
			return err
		},
	} {
		if err := leave(); err != nil {
			return err
		}
	}
	if _, err := f.StartClose(nil); err != nil {
		return err
	}
	time.AfterFunc(time.Minute, func() { os.Exit(1) }) // when the test has failed
	go func() {                                        // ends with the process
		for {
			runtime.GC()
		}
	}()
	for range 4 {
		testutil.Say("%s", <-logged)
	}
	for range 3 {
		runtime.GC() // finds what has been closed and released
	}
	for len(logged) > 0 {
		testutil.Say("%s", <-logged)
	}
	runtime.KeepAlive(f)
	return nil
}

// lines takes what is logged.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- strings.TrimSuffix(string(b), "\n")
	return len(b), nil
}

// A process that the environment tells to track logs the word that is none, the
// file and the pin that it has abandoned, and the closing that waits; and
// neither what was closed nor what was released.
func TestAbandonedIsReported(t *testing.T) {
	needsFiles(t)
	testutil.RequireProcesses(t)
	p := testutil.Reexec(t, "abandon", "FMMAP_TRACK=pins,files,abandoned,blocked=1ms,nonsense", "FMMAP_TEST_DIR="+t.TempDir())
	var logged []string
	for range 4 {
		logged = append(logged, p.Hear())
	}
	slices.Sort(logged)
	all := strings.Join(logged, "\n")
	rest, err := p.Wait()
	if err != nil || rest != "" {
		t.Errorf("the process ended with %q (%v)", rest, err)
	}
	for _, want := range []string{
		`msg="fmmap: FMMAP_TRACK is ignored in part" err="\\"nonsense\\" is none of pins, files, abandoned, blocked=DURATION"`,
		`msg="fmmap: a file was not closed" file=.*abandoned`,
		`msg="fmmap: a pin was not released" file=.*closing"? offset=10 len=20 stack=.*core_test.abandon`,
		`msg="fmmap: a change waits for pins or operations" file=.*closing"? op=close wait=.* operations=0 pins=1 stacks=.*core_test.abandon`,
	} {
		if !regexp.MustCompile("(?m)" + want).MatchString(all) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}
