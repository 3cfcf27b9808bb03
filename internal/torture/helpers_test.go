package torture

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
)

// soak is how long each test that goes round goes on. Without it, each has a
// number of rounds that together take about a minute.
var soak = flag.Duration("torture.for", 0, "how long each test goes on; 0 means a number of rounds")

const (
	kib = 1 << 10
	mib = 1 << 20
)

// A budget counts the rounds of a test, and ends them after a number of rounds or
// a time. Its methods may be called by many goroutines.
type budget struct {
	rounds atomic.Int64
	limit  int64
	end    time.Time // zero: limit counts
}

// newBudget allows n rounds, or as many as there are in the time of a soak.
func newBudget(n int) *budget {
	b := &budget{limit: int64(n)}
	if *soak > 0 {
		b.end = time.Now().Add(*soak)
	}
	return b
}

// next reports whether there is another round, and counts it.
func (b *budget) next() bool {
	if b.spent() {
		return false
	}
	b.rounds.Add(1)
	return true
}

// spent reports whether there is no further round.
func (b *budget) spent() bool {
	if b.end.IsZero() {
		return b.rounds.Load() >= b.limit
	}
	return time.Now().After(b.end)
}

// A tally counts events by name, from many goroutines.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *tally) add(name string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[name] += n
}

func (c *tally) of(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var s []string
	for _, name := range slices.Sorted(maps.Keys(c.n)) {
		s = append(s, fmt.Sprintf("%d %s", c.n[name], name))
	}
	return strings.Join(s, ", ")
}

// counted prints what a test has done.
func counted(t testing.TB, format string, args ...any) {
	t.Helper()
	t.Logf("counted: "+format, args...)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must is for calls of which the test needs the value.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		check(t, err)
		return v
	}
}

// second drops the first of two results.
func second[T any](_ T, err error) error { return err }

// letter is the byte that a file with the salt has at off, never 0.
func letter(off int64, salt byte) byte {
	return byte(off) ^ byte(off>>8) ^ byte(off>>16) ^ salt | 1
}

// pattern is the bytes [off, off+n) of a file with the salt.
func pattern(off int64, n int, salt byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = letter(off+int64(i), salt)
	}
	return b
}

// healthy checks that the process can do with a new file what it always could.
func healthy(t testing.TB, dir string) {
	t.Helper()
	name := dir + "/healthy"
	want := pattern(0, 64*kib, 7)
	f := must[*core.File](t)(core.Create(name, 64*kib))
	check(t, second(f.WriteAt(want, 0)))
	check(t, f.Truncate(128*kib))
	check(t, f.Flush())
	check(t, f.Close())
	g := must[*core.File](t)(core.Open(name))
	got := must[[]byte](t)(g.Clone())
	if string(got[:64*kib]) != string(want) || g.Len() != 128*kib {
		t.Error("a new file does not hold what was written to it")
	}
	check(t, g.Close())
	check(t, os.Remove(name))
}
