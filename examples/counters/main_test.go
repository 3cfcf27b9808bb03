package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestMain(m *testing.M) {
	testutil.VerifyMain(m, testutil.AntsOwn()...)
}

func command1(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, &out)
	return out.String(), err
}

func TestCountersSurviveTheProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c")
	for i, want := range []string{"1\n", "6\n"} {
		got, err := command1(t, "-file", file, "add", "hits", []string{"1", "5"}[i])
		if err != nil || got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	if got, err := command1(t, "-file", file, "load", "1000"); err != nil || !strings.HasPrefix(got, "10000 increments") {
		t.Errorf("load: %q, %v", got, err)
	}
	if got, err := command1(t, "-file", file, "get", "load/7"); err != nil || got != "1000\n" {
		t.Errorf("load/7: %q, %v", got, err)
	}
	if got, err := command1(t, "-file", file, "get"); err != nil || !strings.HasPrefix(got, "hits\t6\nload/0\t1000\n") {
		t.Errorf("all: %q, %v", got, err)
	}
}

func TestManyGoroutines(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "c"), true, time.Millisecond)
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
				c.Add(1)
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
	s, err := Open(context.Background(), filepath.Join(t.TempDir(), "c"), true, time.Hour)
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
	for _, content := range []string{"something else", strings.Repeat("x", slots*64)} {
		if err := os.WriteFile(foreign, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{}, {"get"}, {"-file", foreign}, {"-file", foreign, "get"}, {"-file", foreign, "add", "x"}, {"-file", dir, "get"},
			{"-file", foreign, "add"}, {"-file", foreign, "add", "x", "-1"}, {"-file", foreign, "add", "x", "y"}, {"-file", foreign, "load"},
			{"-file", foreign, "remove", "x"}, {"-file", foreign, "-interval", "0s", "get"}, {"-file", filepath.Join(dir, "no", "c"), "get"},
		} {
			if _, err := command1(t, args...); err == nil {
				t.Errorf("%v: no error", args)
			}
		}
		if got, _ := os.ReadFile(foreign); string(got) != content {
			t.Error("the foreign file changed")
		}
	}
	absent := filepath.Join(dir, "new")
	if _, err := command1(t, "-file", absent, "get"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get of a table that is not there: %v", err)
	}
	if _, err := os.Stat(absent); !errors.Is(err, fs.ErrNotExist) {
		t.Error("get has made a table")
	}
}
