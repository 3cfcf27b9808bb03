package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/examples/internal/cli"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestMain(m *testing.M) {
	testutil.RunRole(map[string]func() error{"add": addOften})
	testutil.VerifyMain(m)
}

const adds = 20

// addOften is what each of several processes does.
func addOften() error {
	testutil.Say("ready")
	testutil.Hear()
	for range adds {
		if err := run(context.Background(), []string{"-file", os.Getenv("FILE"), "add", "hits"}, io.Discard); err != nil {
			return err
		}
	}
	return nil
}

// Processes that count at once wait for each other, and no increment is lost.
func TestTwoProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c")
	both := []*testutil.Process{testutil.Reexec(t, "add", "FILE="+file), testutil.Reexec(t, "add", "FILE="+file)}
	for _, p := range both {
		p.Hear()
	}
	for _, p := range both {
		p.Say("go")
	}
	for _, p := range both {
		if _, err := p.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := runWith(t, "-file", file, "get", "hits"); err != nil || got != fmt.Sprintln(2*adds) {
		t.Errorf("got %q, %v", got, err)
	}
}

func runWith(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, &out)
	return out.String(), err
}

func TestCountersSurviveTheProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c")
	for i, want := range []string{"1\n", "6\n"} {
		got, err := runWith(t, "-file", file, "add", "hits", []string{"1", "5"}[i])
		if err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	if got, err := runWith(t, "-file", file, "load", "1000"); err != nil || !strings.HasPrefix(got, "10000 increments") {
		t.Errorf("load: %q, %v", got, err)
	}
	if got, err := runWith(t, "-file", file, "get", "load/7"); err != nil || got != "1000\n" {
		t.Errorf("load/7: %q, %v", got, err)
	}
	if got, err := runWith(t, "-file", file, "get"); err != nil || !strings.HasPrefix(got, "hits\t6\nload/0\t1000\n") {
		t.Errorf("all: %q, %v", got, err)
	}
}

func TestManyGoroutines(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "c"), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				c, err := s.Counter(fmt.Sprintf("c%d", i%20))
				if err != nil {
					t.Error(err)
					return
				}
				if err := c.Add(1); err != nil {
					t.Error(err)
				}
				if i%50 == g {
					if err := s.Barrier(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	n := 0
	s.All(func(name string, v uint64) {
		n++
		if v != 80 {
			t.Errorf("%s is %d", name, v)
		}
	})
	if n != 20 {
		t.Errorf("%d counters", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLimits(t *testing.T) {
	s, err := Open(context.Background(), filepath.Join(t.TempDir(), "c"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range slots - 1 {
		if _, err := s.Counter(fmt.Sprint(i)); err != nil {
			t.Fatalf("counter %d: %v", i, err)
		}
	}
	if _, err := s.Counter("one more"); err != errFull {
		t.Errorf("a full table: %v", err)
	}
	for _, name := range []string{"", strings.Repeat("x", maxName+1), "a\x00b"} {
		if _, err := s.Counter(name); err != errName {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign")
	for _, content := range []string{"something else", strings.Repeat("x", tableSize), strings.Repeat("\x00", tableSize), strings.Repeat("x", slotSize)} {
		if err := os.WriteFile(foreign, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{}, {"get"}, {"-file", foreign}, {"-file", foreign, "get"}, {"-file", foreign, "add", "x"}, {"-file", dir, "get"},
			{"-file", foreign, "add"}, {"-file", foreign, "add", "x", "-1"}, {"-file", foreign, "add", "x", "y"}, {"-file", foreign, "load"},
			{"-file", foreign, "remove", "x"}, {"-file", foreign, "-interval", "0s", "get"}, {"-file", filepath.Join(dir, "no", "c"), "get"},
		} {
			if _, err := runWith(t, args...); err == nil {
				t.Errorf("%v: no error", args)
			}
		}
		if got, _ := os.ReadFile(foreign); string(got) != content {
			t.Error("the foreign file changed")
		}
	}
	absent := filepath.Join(dir, "new")
	if _, err := runWith(t, "-file", absent, "get"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get of a table that is not there: %v", err)
	}
	if _, err := os.Stat(absent); !errors.Is(err, fs.ErrNotExist) {
		t.Error("get has made a table")
	}
}

// A counter at its limit stays there.
func TestNoCounterWraps(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c")
	const half = "9223372036854775807"
	for _, c := range []struct{ n, want string }{
		{half, half}, {half, "18446744073709551614"}, {"2", ""}, {"1", "18446744073709551615"}, {"1", ""}, {half, ""},
	} {
		got, err := runWith(t, "-file", file, "add", "hits", c.n)
		if c.want == "" && !errors.Is(err, errOverflow) || c.want != "" && (err != nil || got != c.want+"\n") {
			t.Errorf("add %s: got %q, %v, want %q", c.n, got, err, c.want)
		}
	}
	if got, err := runWith(t, "-file", file, "get", "hits"); err != nil || got != "18446744073709551615\n" {
		t.Errorf("get: %q, %v", got, err)
	}
}

// get asks for no more than it needs: no permission to write, and a lock that
// other readers share.
func TestGetOnlyReads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c")
	if _, err := runWith(t, "-file", file, "add", "hits"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o400); err != nil {
		t.Fatal(err)
	}
	reader, err := core.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if got, err := runWith(t, "-file", file, "get", "hits"); err != nil || got != "1\n" {
		t.Errorf("get beside another reader: %q, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := run(ctx, []string{"-file", file, "add", "hits"}, io.Discard); err == nil {
		t.Error("add does not wait for the reader")
	}
	s, err := OpenReadOnly(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if a := s.file.Core().Access(); a != core.ReadOnly {
		t.Errorf("the access is %v", a)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// A table whose creation was interrupted becomes a table at the next start.
func TestInterruptedCreation(t *testing.T) {
	first := slot{}
	copy(first.name[:], magic)
	for _, content := range []string{"", strings.Repeat("\x00", slotSize), strings.Repeat("\x00", 8) + string(first.name[:])} {
		file := filepath.Join(t.TempDir(), "c")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := runWith(t, "-file", file, "add", "hits"); err != nil || got != "1\n" {
			t.Errorf("%d bytes: %q, %v", len(content), got, err)
		}
	}
}

func TestWrongArgumentsPrintUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"-what"}, {"-file", "f"}, {"get"}, {"-file", "f", "add"}, {"-file", "f", "-interval", "0s", "get"}} {
		_, err := runWith(t, args...)
		if usage, ok := errors.AsType[*cli.UsageError](err); !ok || !strings.HasPrefix(usage.Usage, "usage: "+synopsis) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
