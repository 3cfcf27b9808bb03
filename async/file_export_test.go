package async

import (
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/lane"
	"github.com/fmmap-go/fmmap/internal/medium"
	"github.com/fmmap-go/fmmap/internal/seen"
)

// ForgetSeen has everything that was seen in memory looked at again.
func ForgetSeen() { seen.EndEpoch() }

// Occupy keeps a worker of each queue of a lane busy until quit is closed.
func Occupy(p *Pool, l Lane, quit <-chan struct{}) error {
	block := func(dropped error) {
		if dropped == nil {
			<-quit
		}
	}
	lanes := []*lane.Lane{p.lane(l)}
	if l == LaneMeta {
		lanes = append(lanes, p.copies, p.closings)
	}
	for _, l := range lanes {
		if err := executeIn(l, opGo, block); err != nil {
			return err
		}
	}
	return nil
}

// FlushTarget returns what the batches of a file are flushed through.
func FlushTarget(f *core.File) interface {
	FlushRange(off, n int64) error
	StartWriteback(off, n int64) error
} {
	return &target{f}
}

// Refs returns how many operations keep the file open.
func Refs(f *File) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refs
}

// Locks returns how many locks the file holds or waits for.
func Locks(f *File) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.locks)
}

// KeepDevice keeps what is known of a file's device, as a request that is under
// way does, until the returned function is called.
func KeepDevice(f *File) (leave func()) {
	r, _ := f.pool.pagers.enter(f, 0, 0)
	return r.leave
}

// OccupyPager keeps the pager of a file's device busy until quit is closed.
func OccupyPager(f *File, quit <-chan struct{}) error {
	r, _ := f.pool.pagers.enter(f, 0, 0)
	return r.occupy(quit)
}

// OccupyStores keeps the lane for stores to a file's device busy until quit is
// closed.
func OccupyStores(f *File, quit <-chan struct{}) error {
	return f.pool.pagers.enterStore(f).occupy(quit)
}

func (r *request) occupy(quit <-chan struct{}) error {
	return executeIn(r.lane, opGo, func(dropped error) {
		if dropped == nil {
			<-quit
		}
		r.over()
	})
}

// SetMedium has requests for pages of a file go to the pager of m, as if the file
// were read from there. No request may have been made yet.
func SetMedium(f *File, m medium.Medium) { f.medium.Store(&m) }

// A Depth is what is known of how many reads a device takes.
type Depth struct{ d depth }

// NewDepth returns that of a device of which nothing was seen.
func NewDepth(certain, most int) *Depth {
	return &Depth{depth{certain: certain, seen: certain, most: most}}
}

func (d *Depth) Takes(started, units int) bool               { return d.d.takes(started, units) }
func (d *Depth) Took(took time.Duration, units, started int) { d.d.took(took, units, started) }

// Started returns how many reads of the device of f were started and not waited for.
func Started(f *File) int {
	p := &f.pool.pagers
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.devices[deviceKey{f.mediumOf().Device, false}]; d != nil {
		return d.started
	}
	return 0
}

// Devices returns how many devices requests for pages are under way for.
func Devices(p *Pool) int {
	p.pagers.mu.Lock()
	defer p.pagers.mu.Unlock()
	return len(p.pagers.devices)
}

// SetAroundShare bounds what is read around requests and not asked for, in bytes,
// until the returned function is called.
func SetAroundShare(n int64) (undo func()) {
	was := aroundShare
	aroundShare = func() int64 { return n }
	return func() { aroundShare = was }
}

// Unasked returns how many bytes of a pool's files were read around requests and
// not asked for.
func Unasked(p *Pool) int64 { return p.pagers.unasked.count(0, 0) * aroundBlock }

// AroundAllowed returns how many bytes may be under way around requests of f.
func AroundAllowed(f *File) int64 {
	a := f.around.Load()
	if a == nil {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.allowed
}

// Times of reading around requests.
const (
	AroundAgain = aroundAgain
	AroundEpoch = aroundEpoch
	AroundPace  = aroundPace
	AroundPause = aroundPause
)

// MaxDeviceLanes bounds the pagers of a pool, and its flushers.
const MaxDeviceLanes = maxDeviceLanes

// OccupyFlusher keeps a worker that flushes the device of f busy until quit is
// closed.
func OccupyFlusher(f *File, quit <-chan struct{}) error {
	return f.pool.flushers.execute(f.mediumOf().Device, opFlush, func(error) { <-quit })
}

// FlushedDevices returns how many devices flushes are queued or run for.
func FlushedDevices(p *Pool) int {
	p.flushers.mu.Lock()
	defer p.flushers.mu.Unlock()
	return len(p.flushers.devices)
}

// Looks returns how many files a set has looked at to find some to close.
func Looks(s *FileSet) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}
