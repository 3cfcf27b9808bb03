package stacks_test

import (
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/internal/stacks"
)

// newProfile returns a profile of the test's own.
func newProfile(t testing.TB) profile {
	name := fmt.Sprintf("%s.%d", t.Name(), profiles.Add(1))
	return profile{stacks.New(name, nil), name, t}
}

var profiles atomic.Int64 // made, since a name is taken for good

type profile struct {
	*stacks.Profile
	name string
	t    testing.TB
}

// text returns the profile as people read it.
func (p profile) text() string {
	p.t.Helper()
	var b strings.Builder
	if err := pprof.Lookup(p.name).WriteTo(&b, 1); err != nil {
		p.t.Fatal(err)
	}
	return b.String()
}

func (p profile) wantCount(want int) {
	p.t.Helper()
	if n := pprof.Lookup(p.name).Count(); n != want {
		p.t.Errorf("the profile has %d entries, want %d:\n%s", n, want, p.text())
	}
}

//go:noinline
func takeHere(p profile) *stacks.Site { return p.Take(0) }

//go:noinline
func takeThere(p profile) *stacks.Site { return p.Take(0) }

// What is held is in the profile by its stack, and is gone Lag after it has
// been dropped.
func TestProfileShowsWhatIsHeld(t *testing.T) {
	p := newProfile(t)
	synctest.Test(t, func(*testing.T) {
		var held []*stacks.Site
		for range 3 {
			held = append(held, takeHere(p))
		}
		held = append(held, takeThere(p))
		p.wantCount(4)
		got := p.text()
		for _, want := range []string{"\n3 @", "\n1 @", "stacks_test.takeHere+", "stacks_test.takeThere+", "stacks_test.go:"} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in the profile:\n%s", want, got)
			}
		}
		if strings.Contains(got, "stacks.(*Profile)") {
			t.Errorf("the profile shows its own functions:\n%s", got)
		}
		held[0].Drop()
		time.Sleep(2 * stacks.Lag)
		p.wantCount(3)
		for _, s := range held[1:] {
			s.Drop()
		}
		time.Sleep(2 * stacks.Lag)
		p.wantCount(0)

		takeHere(p).Drop()
		held[0] = takeHere(p) // the timer of the Drop finds it held
		time.Sleep(2 * stacks.Lag)
		p.wantCount(1)
		held[0].Drop()
		time.Sleep(2 * stacks.Lag)
		p.wantCount(0)
	})
}

// Two stacks are two sites, and one stack is one, whatever is inlined where.
func TestSitesAreStacks(t *testing.T) {
	p := newProfile(t)
	var a, b *stacks.Site
	for range 2 {
		s := takeHere(p)
		if a != nil && s != a {
			t.Errorf("one stack, two sites:\n%v\n%v", a.Stack, s.Stack)
		}
		a = s
		defer s.Drop()
	}
	b = takeHere(p)
	defer b.Drop()
	if a == b {
		t.Errorf("two stacks, one site:\n%v", a.Stack)
	}
	c, d := inlined(p), inlined(p)
	defer c.Drop()
	defer d.Drop()
	if c == d {
		t.Errorf("two calls of a function that is inlined are one site:\n%v", c.Stack)
	}
	_, _, line, _ := runtime.Caller(0)
	e := takeHere(p)
	defer e.Drop()
	if want := fmt.Sprintf("stacks_test.go:%d\n", line+1); !strings.Contains(e.Stack.String(), want) {
		t.Errorf("no %q in the stack:\n%v", want, e.Stack)
	}
}

func inlined(p profile) *stacks.Site { return p.Take(0) }

// Stacks deeper than a profile shows are told apart by what it shows.
func TestDeepStacks(t *testing.T) {
	p := newProfile(t)
	var at func(depth int) *stacks.Site
	at = func(depth int) *stacks.Site {
		if depth == 0 {
			return takeHere(p)
		}
		return at(depth - 1)
	}
	for _, depth := range []int{1, 29, 30, 31, 32, 33, 100} {
		s := at(depth)
		defer s.Drop()
		if len(s.Stack) > 32 || len(s.Stack) < min(depth, 32) {
			t.Errorf("%d calls deep: a stack of %d", depth, len(s.Stack))
		}
	}
	a, b := at(100), at(101)
	defer a.Drop()
	defer b.Drop()
}

// Goroutines that take and drop at once leave no entry behind.
func TestManyGoroutines(t *testing.T) {
	p := newProfile(t)
	synctest.Test(t, func(*testing.T) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 200 {
					a, b := takeHere(p), takeThere(p)
					runtime.Gosched()
					a.Drop()
					b.Drop()
				}
			})
		}
		wg.Wait()
		time.Sleep(2 * stacks.Lag)
		p.wantCount(0)
	})
}

// The stack grows, is copied and is preempted while addresses are followed.
func TestStacksThatMove(t *testing.T) {
	p := newProfile(t)
	var grow func(n int) int
	grow = func(n int) int {
		var room [128]byte
		if n == 0 {
			s := takeHere(p)
			defer s.Drop()
			return len(s.Stack)
		}
		room[n%128] = byte(n)
		return grow(n-1) + int(room[(n+1)%128])
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for n := range 20 {
				if grow(i*n) == 0 {
					t.Error("no stack")
				}
				if n%10 == 0 {
					runtime.GC()
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkTake(b *testing.B) {
	p := newProfile(b)
	var at func(depth int, fn func())
	at = func(depth int, fn func()) {
		if depth == 0 {
			fn()
			return
		}
		at(depth-1, fn)
	}
	for _, depth := range []int{1, 10, 40} {
		b.Run(fmt.Sprint(depth), func(b *testing.B) {
			b.ReportAllocs()
			at(depth, func() {
				for b.Loop() {
					p.Take(0).Drop()
				}
			})
		})
	}
}
