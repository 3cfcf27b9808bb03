package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/examples/internal/cli"
)

func write(t *testing.T, name string, lines ...string) {
	t.Helper()
	next := name + ".next"
	if err := os.WriteFile(next, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, name); err != nil {
		t.Skipf("a mapped file cannot be replaced on this system: %v", err)
	}
}

func TestLookup(t *testing.T) {
	name := filepath.Join(t.TempDir(), "index")
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("key%04d\tvalue %d", 2*i, i))
	}
	for _, c := range []struct {
		name  string
		lines []string
		key   string
		want  string
		found bool
	}{
		{"first", lines, "key0000", "value 0", true},
		{"last", lines, "key1998", "value 999", true},
		{"between", lines, "key0999", "", false},
		{"before", lines, "a", "", false},
		{"behind", lines, "z", "", false},
		{"prefix", lines, "key", "", false},
		{"empty file", nil, "key", "", false},
		{"empty value", []string{"a\t", "b\tx"}, "a", "", true},
		{"only one", []string{"a\tx"}, "a", "x", true},
	} {
		write(t, name, c.lines...)
		x, err := OpenIndex(name)
		if err != nil {
			t.Fatal(err)
		}
		value, ok, err := x.Lookup(c.key)
		if err != nil || ok != c.found || string(value) != c.want {
			t.Errorf("%s: %q, %t, %v", c.name, value, ok, err)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
	for i, l := range lines {
		key, want, _ := strings.Cut(l, "\t")
		if got, found := bytes.CutPrefix(search([]byte(strings.Join(lines, "\n")), key), []byte(key+"\t")); !found || string(got) != want {
			t.Fatalf("line %d: %q", i, got)
		}
	}
}

func TestFileIsReplacedUnderLookups(t *testing.T) {
	name := filepath.Join(t.TempDir(), "index")
	write(t, name, "version\t0")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	addr, over := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		over <- run(ctx, []string{"-file", name, "-http", "127.0.0.1:0", "-every", "1ms"}, io.Discard, io.Discard, func(a net.Addr) { addr <- a })
	}()
	var url string
	select {
	case a := <-addr:
		url = "http://" + a.String() + "/version"
	case err := <-over:
		t.Fatal(err)
	}
	get := func() string {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d, %v: %s", resp.StatusCode, err, b)
		}
		return strings.TrimSpace(string(b))
	}
	for version := range 20 {
		want := fmt.Sprint(version)
		write(t, name, "version\t"+want)
		for limit := time.Now().Add(30 * time.Second); get() != want; {
			if time.Now().After(limit) {
				t.Fatalf("version %s is not served", want)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-over; err != nil {
		t.Fatal(err)
	}
}

// A reload that failed is a warning with its error; a good one names no error.
func TestReloadsAreLogged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "index")
	write(t, name, "a\t1")
	x, err := OpenIndex(name)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	logged := func() string {
		t.Helper()
		var out strings.Builder
		ctx, cancel := context.WithCancel(t.Context())
		log := slog.New(slog.NewTextHandler(&out, nil))
		x.Watch(ctx, time.Millisecond, func(reloaded bool, err error) {
			if ctx.Err() == nil {
				reported(log, reloaded, err)
			}
			cancel()
		})
		return out.String()
	}
	write(t, name, "a\t2")
	if got := logged(); !strings.HasSuffix(got, "level=INFO msg=\"file replaced\"\n") {
		t.Errorf("a file replaced: %q", got)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if got := logged(); !strings.Contains(got, "level=WARN msg=reload reloaded=false err=") || strings.Count(got, "\n") != 1 {
		t.Errorf("a file removed: %q", got)
	}
}

func TestFileCutShortIsAnError(t *testing.T) {
	name := filepath.Join(t.TempDir(), "index")
	line := "key\t" + strings.Repeat("x", 1<<20)
	write(t, name, line, "last\tvalue")
	x, err := OpenIndex(name)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := os.Truncate(name, 100); err != nil {
		t.Skipf("a mapped file cannot be cut short on this system: %v", err)
	}
	if _, _, err := x.Lookup("last"); !errors.Is(err, core.ErrFault) {
		t.Errorf("lookup in a file that was cut short: %v", err)
	}
}

func TestLookupsFinishInTheOldFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "index")
	write(t, name, "a\t1")
	x, err := OpenIndex(name)
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	over := make(chan error)
	for range 4 {
		go func() {
			for !stop.Load() {
				if v, ok, err := x.Lookup("a"); err != nil || !ok || len(v) != 1 {
					over <- fmt.Errorf("%q, %t, %v", v, ok, err)
					return
				}
			}
			over <- nil
		}()
	}
	for i := range 50 {
		write(t, name, fmt.Sprintf("a\t%d", i%10))
		if _, err := x.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	for range 4 {
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{{}, {"-file"}, {"-file", "x", "more"}, {"-file", "x", "-every", "0s"}} {
		err := run(t.Context(), args, io.Discard, io.Discard, nil)
		if _, ok := errors.AsType[*cli.UsageError](err); !ok {
			t.Errorf("%v: %v", args, err)
		}
	}
}
