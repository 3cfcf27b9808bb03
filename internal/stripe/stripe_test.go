package stripe_test

import (
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"github.com/fmmap-go/fmmap/internal/stripe"
)

// A striped value has a power of two of elements, which follows GOMAXPROCS.
func TestMake(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for procs, want := range map[int]int{1: 4, 2: 4, 3: 8, 8: 16, 9: 32} {
		runtime.GOMAXPROCS(procs)
		if got := len(stripe.Make[stripe.Counter]()); got != want {
			t.Errorf("with %d Ps there are %d elements, want %d", procs, got, want)
		}
	}
}

// Two elements of a striped counter share no cache line.
func TestElementsShareNoLine(t *testing.T) {
	s := stripe.Make[stripe.Counter]()
	a, b := uintptr(unsafe.Pointer(&s[0])), uintptr(unsafe.Pointer(&s[1]))
	if b-a < stripe.Line {
		t.Errorf("two elements are %d bytes apart, want %d", b-a, stripe.Line)
	}
}

// No increment is lost, whichever elements the goroutines get.
func TestSum(t *testing.T) {
	s := stripe.Make[stripe.Counter]()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				stripe.Of(s).Add(1)
			}
		})
	}
	wg.Wait()
	if got := stripe.Sum(s); got != 8000 {
		t.Errorf("Sum = %d, want 8000", got)
	}
}

func TestOfDoesNotAllocate(t *testing.T) {
	s := stripe.Make[stripe.Counter]()
	if n := testing.AllocsPerRun(1000, func() { stripe.Of(s).Add(1) }); n >= 1 {
		t.Errorf("Of allocates %v times", n)
	}
}

func BenchmarkOf(b *testing.B) {
	s := stripe.Make[stripe.Counter]()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			stripe.Of(s).Add(1)
		}
	})
}
