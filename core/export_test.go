package core

import (
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/internal/seen"
)

// SetMinReserve changes what is reserved for files whose options do not say.
// No other goroutine may open any.
func SetMinReserve(n int64) { minReserve = n }

// Steps returns how many pins, pin lists, regions and wake-ups f has looked
// at: the part of the cost of its operations that could grow with the number
// of pins and changes.
func Steps(f *File) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.steps
	f.eachPinList(func(l *pinList) {
		l.mu.Lock()
		n += l.steps
		l.mu.Unlock()
	})
	return n
}

// Wakes returns how often the changes of f have been woken, or a retired region
// been looked at.
func Wakes(f *File) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps
}

// EnterSuperseded tries to admit an operation to a generation that has been
// superseded. It returns whether it was admitted, how many operations the
// generation counts afterwards, and how often the changes were woken.
func EnterSuperseded(f *File) (admitted bool, running int64, woken int) {
	g := f.gen.Load()
	f.mu.Lock()
	f.publish(g.data)
	f.mu.Unlock()
	before := Wakes(f)
	on, counter, err := f.enterFrom(g)
	if err == nil {
		defer f.leave(on.epoch, counter)
	}
	admitted = on == g
	for i := range g.epoch.running {
		running += g.epoch.running[i].Load()
	}
	return admitted, running, Wakes(f) - before
}

// PinSuperseded calls pin, which pins f, while no pin can be added. When
// blocked reports that the call waits for that, it supersedes the generation.
func PinSuperseded(f *File, pin func(), blocked func()) (superseded uint64) {
	g := f.gen.Load()
	g.region.eachPinList(func(l *pinList) { l.mu.Lock() })
	done := make(chan struct{})
	go func() { pin(); close(done) }()
	blocked()
	f.mu.Lock()
	f.publish(g.data)
	f.mu.Unlock()
	g.region.eachPinList(func(l *pinList) { l.mu.Unlock() })
	<-done
	return g.seq
}

// Generation returns the number of the generation that p was taken on.
func Generation(p *Pin) uint64 { return p.gen.seq }

// RegionContains reports whether a fault at the byte i of the stretch of
// address space of f counts as one of f; size is the length of the stretch.
func RegionContains(f *File, at func(size int64) (i int64)) bool {
	r := f.gen.Load().region
	_, ok := r.contains(uintptr(r.base()) + uintptr(at(r.size())))
	return ok
}

// Supersede publishes another generation with the same window.
func Supersede(f *File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.publish(f.gen.Load().data)
}

// AwaitEarlierPins begins to wait for the pins taken before the last generation
// was published, as a change does, and returns a function that reports whether
// any of them is still held.
func AwaitEarlierPins(f *File) (held func() bool) {
	w := untilUnused()
	f.mu.Lock()
	defer f.mu.Unlock()
	w.block(f)
	return func() bool { return w.lists.Load() > 0 }
}

// Retired returns how many regions of f growth has replaced and are mapped yet.
func Retired(f *File) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.retired)
}

// MarkSeen records that a range of the window has just been seen in memory, Seen
// reports whether it was lately, and ForgetSeen forgets it.
func MarkSeen(f *File, off, n int64) { f.gen.Load().seen.key.Mark(off, n) }

func Seen(f *File, off, n int64) bool { return f.gen.Load().seen.key.Seen(off, n) }

func ForgetSeen(f *File, off, n int64) { f.gen.Load().forgetSeen(off, n) }

// SeenWhole reports whether a read of n bytes at off is served without looking
// at the table.
func SeenWhole(f *File, off, n int64) bool { return f.gen.Load().seen.whole(off, n) }

// EndSeenEpoch has everything looked at again, as a timer does.
func EndSeenEpoch() { seen.EndEpoch() }

// SeenEpoch is the number of the epoch, which a timer changes.
func SeenEpoch() uint32 { return atomic.LoadUint32(&seen.Epoch) }

// SeenBlock is what a word of the table is for.
const SeenBlock = seen.Block

// NextStep returns the size of the step of a copy after one of size bytes that took
// so long.
func NextStep(size int64, took time.Duration) int64 {
	c := Copy{step: size}
	c.adapt(took)
	return c.step
}
