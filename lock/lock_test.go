package lock_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fmmap-go/fmmap/lock"
)

func tempFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func open(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestQuick(t *testing.T) {
	name := tempFile(t)
	f, g := open(t, name), open(t, name)
	a, b := lock.New(f), lock.New(g)
	if err := a.Try(lock.Exclusive); err != nil {
		t.Fatal(err)
	}
	if err := b.Try(lock.Shared); !errors.Is(err, lock.ErrLocked) {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() { got <- b.Acquire(context.Background(), lock.Exclusive) }()
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	c := b.Nested()
	if err := c.Try(lock.Exclusive); err != nil {
		t.Fatal(err)
	}
	if err := c.Release(); err != nil {
		t.Fatal(err)
	}
	if err := b.Release(); err != nil {
		t.Fatal(err)
	}
	if err := b.Release(); !errors.Is(err, lock.ErrNotHeld) {
		t.Fatal(err)
	}
}

func BenchmarkTry(b *testing.B) {
	l := lock.New(open(b, tempFile(b)))
	b.ReportAllocs()
	for b.Loop() {
		if l.Try(lock.Exclusive) != nil || l.Release() != nil {
			b.Fatal("no")
		}
	}
}
