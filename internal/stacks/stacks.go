// Package stacks profiles what a program holds by the stack that took it: as a
// profile of [runtime/pprof] does, at a fraction of its cost.
//
// A [pprof.Profile] takes one lock and names every function of the stack for
// each thing that is added. Profile instead follows the frame pointers and
// looks the return addresses up, since most stacks have been seen before. Of
// each stack it counts what is held, and the pprof.Profile is only touched when
// the count exceeds what that shows, and some time after it has fallen below:
//
//	held   1 2 1 2 1 2 3 2 1 0
//	shown  1 2 2 2 2 2 3 3 3 3 … 0
//
// So what is held is always shown, and what has been dropped is shown for
// [Lag] at most.
package stacks

import (
	"fmt"
	"math/bits"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// Lag is how long a stack stays in the profile after the last thing that it
// took has been dropped.
const Lag = 200 * time.Millisecond

// Stack is a stack of calls, the innermost first, as from [runtime.Callers].
type Stack []uintptr

// depth is the number of calls that a profile of runtime/pprof shows, too.
const depth = len(sys.ReturnPCs{})

// Here returns the stack of its caller without the innermost skip calls: 0 is
// the caller of Here.
func Here(skip int) Stack {
	var pcs [depth]uintptr
	return slices.Clone(Stack(pcs[:runtime.Callers(skip+2, pcs[:])]))
}

// String returns the stack in the form of a traceback: per call the function,
// and on a line of its own the file and the line.
func (s Stack) String() string {
	var b strings.Builder
	frames := runtime.CallersFrames(s)
	for more := len(s) > 0; more; {
		var f runtime.Frame
		f, more = frames.Next()
		fmt.Fprintf(&b, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
	}
	return b.String()
}

// Profile is a profile of what is held.
type Profile struct {
	pprof   *pprof.Profile
	data    func(*Site) any
	buckets [1 << 10]atomic.Pointer[Site] // by the hash of the return addresses
}

// New returns a profile that [pprof.Lookup] finds by its name, which must be new.
// If data is not nil, it makes the Data of each site.
func New(name string, data func(*Site) any) *Profile {
	return &Profile{pprof: pprof.NewProfile(name), data: data}
}

// Site is a stack that has taken something.
type Site struct {
	Stack Stack
	Data  any // of the caller

	pcs  []uintptr // that identify the stack
	next *Site     // in the bucket

	held atomic.Int64

	shown    atomic.Int64 // entries in the profile; written under mu
	mu       sync.Mutex
	trimming atomic.Bool // a timer will remove entries that are too many
	profile  *pprof.Profile
}

// entry is what the pprof.Profile holds: one per thing held.
type entry struct {
	site *Site
	n    int64
}

// Take counts one thing more for the stack of its caller, and returns what it
// is to be dropped from. The stack that the profile shows lacks the innermost
// skip calls: 0 is the caller of Take.
func (p *Profile) Take(skip int) *Site {
	var pcs sys.ReturnPCs
	n, whole := pcs.Fill()
	if !whole {
		n = runtime.Callers(2, pcs[:])
	}
	bucket := &p.buckets[hash(pcs[:n])%uint64(len(p.buckets))]
	s := find(bucket.Load(), pcs[:n])
	if s == nil {
		s = p.add(bucket, pcs[:n], Here(skip+1))
	}
	if s.held.Add(1) > s.shown.Load() {
		s.show(skip + 1)
	}
	return s
}

// hash mixes the return addresses: cheaply per address, and well at the end.
func hash(pcs []uintptr) uint64 {
	h := uint64(len(pcs))
	for _, pc := range pcs {
		h = bits.RotateLeft64(h, 9) + uint64(pc)
	}
	h *= 0x9e3779b97f4a7c15
	return h >> 32
}

// find returns the site of the list with these return addresses, nil if there is
// none.
func find(s *Site, pcs []uintptr) *Site {
	for ; s != nil; s = s.next {
		if slices.Equal(s.pcs, pcs) {
			return s
		}
	}
	return nil
}

// add adds a site to the bucket, unless another goroutine has just done so.
func (p *Profile) add(bucket *atomic.Pointer[Site], pcs []uintptr, stack Stack) *Site {
	s := &Site{Stack: stack, pcs: slices.Clone(pcs), profile: p.pprof}
	if p.data != nil {
		s.Data = p.data(s)
	}
	for {
		first := bucket.Load()
		if other := find(first, pcs); other != nil {
			return other
		}
		s.next = first
		if bucket.CompareAndSwap(first, s) {
			return s
		}
	}
}

// show adds entries to the pprof.Profile until there is one per thing held. It
// is called on the stack of the site, which the pprof.Profile takes as it is.
func (s *Site) show(skip int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := s.shown.Load(); n < s.held.Load(); n++ {
		s.profile.Add(entry{s, n}, skip+2)
		s.shown.Store(n + 1)
	}
}

// Drop counts one thing less.
func (s *Site) Drop() {
	if s.held.Add(-1) < s.shown.Load() && !s.trimming.Load() && !s.trimming.Swap(true) {
		time.AfterFunc(Lag, s.trim)
	}
}

// trim removes the entries of the pprof.Profile that are too many.
func (s *Site) trim() {
	s.trimming.Store(false) // before held is read: a later Drop starts a timer
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := s.shown.Load(); n > s.held.Load(); n-- {
		s.profile.Remove(entry{s, n - 1})
		s.shown.Store(n - 1)
	}
}
