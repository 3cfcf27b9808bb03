package async

import (
	"container/list"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/lane"
	"github.com/fmmap-go/fmmap/internal/medium"
	"github.com/fmmap-go/fmmap/latency"
)

// The caller that needs a cold page starts the read, and a pager waits for it: a
// worker of lane Page, of which there is one per device. So any number of reads
// are in flight at once, and while a pager is in a system call one P is
// unavailable, and not all of them. Touching the pages instead holds one P per
// page for the time of a read, and populating them on many workers is
// bistable: the scheduler retakes the P from a system call of this length only
// now and then [go.dev/issue/28701].
//
// A caller does not start a read for which the queue of the device has no room,
// since it would then wait for the device. Such reads are kept in order, and the
// pager starts them as others arrive, before it waits for the next one:
//
//	caller ──► started ──► pager waits ──► leave
//	   └─────► waiting ──► started by the pager, or brought in when its turn comes

// pagers assigns the requests of each device to a lane of their own. A device
// has one while requests for it are under way, so that one without requests
// costs nothing.
type pagers struct {
	pageIn latency.Recorder // of all devices

	mu      sync.Mutex // guards what follows; the group's mu is taken within it
	devices map[deviceKey]*device
	lanes   deviceLanes // the first takes no stores

	unasked unasked // what was read around requests
}

// A deviceKey names a device, and whether it is meant as one that is stored to.
// Stores have a lane of their own: they wait as long as a file system is frozen
// or behind with its writing, and reads do not.
type deviceKey struct {
	id     uint64
	stores bool
}

// A device is a device that requests are under way for.
type device struct {
	deviceKey
	pager    int // index of its lane
	depth    depth
	requests int       // under way, and reads around them that are not started yet
	started  int       // reads, in units, that were started and not waited for
	waiting  list.List // of *request: not started, oldest first
	reads    uint64    // how many were started
	behind   []*behind // reads around requests that are under way, oldest first
	quick    bool      // the last of those that are over was, as aroundQuick says; what was in memory is quick on any
}

// A behind is a read around a request. It is over, as far as is known, when a
// request has arrived whose read was started after it.
type behind struct {
	device *device
	units  int
	sum    int    // of the units under way when it was admitted, its own included
	after  uint64 // device.reads when it was started; before, the greatest number
	began  time.Time
}

// A request is a request for pages, from when it is made until it is over.
type request struct {
	pool   *pagers
	device *device
	lane   *lane.Lane // of the device's pager

	file   *core.File
	off, n int64
	units  int           // counted in device.started
	number uint64        // device.reads when it was started, this read included
	place  *list.Element // in device.waiting, or nil
	waited bool          // the pager has begun to wait for the pages
}

// units returns what the read of n bytes takes of a device's depth.
func units(n int64) int { return int((n + medium.Unit - 1) / medium.Unit) }

// enter makes a request for the first step of [off, off+n) of f, or, if n is 0,
// for something else that may have to wait for the device. It reports whether
// the caller is to start the read.
func (p *pagers) enter(f *File, off, n int64) (r *request, start bool) {
	return p.enterAs(false, f, off, n)
}

// enterStore is enter for a store, which may have to wait for the file system.
func (p *pagers) enterStore(f *File) *request {
	r, _ := p.enterAs(true, f, 0, 0)
	return r
}

func (p *pagers) enterAs(store bool, f *File, off, n int64) (r *request, start bool) {
	m := f.mediumOf()
	key := deviceKey{m.Device, store}
	r = &request{pool: p, file: f.core, off: off, n: min(n, readStep)}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.devices[key]
	if d == nil {
		d = &device{deviceKey: key, pager: p.lanes.join(store), depth: depth{certain: m.Depth, seen: m.Depth, most: m.MaxDepth}}
		p.devices[key] = d
	}
	d.requests++
	r.device, r.lane = d, p.lanes.all[d.pager].Lane
	switch {
	case n == 0:
	case d.waiting.Len() == 0 && r.fits():
		r.startNow()
		return r, true
	default:
		r.place = d.waiting.PushBack(r)
	}
	return r, false
}

// fits reports whether the device is certain to take the read at once. The caller
// holds mu.
func (r *request) fits() bool {
	return r.device.started+units(r.n) <= r.device.depth.certain
}

// aroundLimit returns how many bytes may be read around requests of a file at a
// time: as many as there is room for.
func (r *request) aroundLimit() int64 {
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	limit := int64(aroundLimit)
	if r.device.quick {
		limit = aroundLimitQuick
	}
	return min(limit, int64(r.device.room())*medium.Unit)
}

// room is how many units may be read around the requests of all files of a device
// at a time: half of what it takes, or four times that if it is quick. A caller that
// starts a read must not wait for those, so they are no more than half where no more
// than its depth is certain. The caller holds mu.
func (d *device) room() int {
	if d.quick && d.depth.certain == d.depth.most {
		return d.depth.certain / 2 * (aroundLimitQuick / aroundLimit)
	}
	return d.depth.certain / 2
}

// admit counts as under way a read of n bytes around r, if no read that is waited
// for has to wait to be started, and there is room for it in the device and in what
// is allowed. That may be more than the queue of the device has room for, and then
// the pager waits as it starts the read.
func (r *request) admit(n, allowed int64) *behind {
	p, d := r.pool, r.device
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := units(n)
	for _, b := range d.behind {
		sum += b.units
	}
	if d.waiting.Len() > 0 || sum > max(units(allowed), 1) || sum > d.room() {
		return nil
	}
	b := &behind{device: d, units: units(n), sum: sum, after: math.MaxUint64}
	d.behind = append(d.behind, b)
	d.requests++ // until issued, so that the lane serves no other device meanwhile
	return b
}

// issued records that the read of b has been started, from the time began on, or
// will never be.
func (b *behind) issued(p *pagers, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.after, b.began = b.device.reads, began
	p.left(b.device)
}

// startNow counts the read as started. The caller holds mu, and starts it when
// it has unlocked that.
func (r *request) startNow() {
	r.units = units(r.n)
	r.device.started += r.units
	r.device.reads++
	r.number = r.device.reads
	if r.place != nil {
		r.device.waiting.Remove(r.place)
		r.place = nil
	}
}

// read starts the read. What the system does not start the pager reads.
func (r *request) read() { _ = r.file.Advise(core.AdviceWillNeed, r.off, r.n) }

// turn is called by the pager before it waits for the pages of r. It starts
// their read, if that has not been done, and then those of the requests behind
// it that the device takes.
func (r *request) turn() {
	p, d := r.pool, r.device
	p.mu.Lock()
	r.waited = true
	next := r
	if r.place == nil {
		next = p.next(d)
	} else {
		r.startNow() // also if the device does not take it: the pager may wait
	}
	for next != nil {
		taken, started := next, d.started
		p.mu.Unlock()
		began := time.Now()
		taken.read()
		took := time.Since(began)
		p.mu.Lock()
		d.depth.took(took, units(taken.n), started)
		next = p.next(d)
	}
	guessed := d.depth.certain < d.depth.most
	p.mu.Unlock()
	if guessed {
		// Those whose pages have come ask for the next ones first. Otherwise the pager
		// would start these one at a time, and hold a P all the while.
		runtime.Gosched()
	}
}

// next counts as started the oldest read of d that waits, if the device takes
// it or may, and returns it. The caller holds mu.
func (p *pagers) next(d *device) *request {
	if e := d.waiting.Front(); e != nil {
		if r := e.Value.(*request); d.depth.takes(d.started, units(r.n)) {
			r.startNow()
			return r
		}
	}
	return nil
}

// over ends a request. If its read is under way and the pager has not waited
// for it, as it was given up, the pager does that still: the device is as busy
// as before.
func (r *request) over() {
	p := r.pool
	p.mu.Lock()
	givenUp := r.units > 0 && !r.waited
	p.mu.Unlock()
	if givenUp && executeIn(r.lane, opPageIn, func(dropped error) {
		if dropped == nil {
			_ = r.file.Populate(r.off, r.n)
		}
		r.leave()
	}) == nil {
		return
	}
	r.leave()
}

// leave undoes enter.
func (r *request) leave() {
	p, d := r.pool, r.device
	p.mu.Lock()
	defer p.mu.Unlock()
	d.started -= r.units
	for len(d.behind) > 0 && d.behind[0].after < r.number {
		b := d.behind[0]
		d.quick = time.Since(b.began) <= time.Duration(b.sum)*time.Second/aroundQuick
		d.behind = d.behind[1:]
	}
	if r.place != nil {
		d.waiting.Remove(r.place)
	}
	p.left(d)
}

// left notes that one request less is under way for d. The caller holds mu.
func (p *pagers) left(d *device) {
	if d.requests--; d.requests == 0 {
		p.lanes.leave(d.pager)
		delete(p.devices, d.deviceKey)
	}
}

// noDescriptor is what Fd returns without one.
const noDescriptor = ^uintptr(0)

// mediumOf returns what f is read from, which never changes.
func (f *File) mediumOf() medium.Medium {
	if m := f.medium.Load(); m != nil {
		return *m
	}
	p, err := f.core.Pin(0, 0) // keeps the descriptor open
	if err != nil {
		return medium.Of(noDescriptor) // the request will find the file closed
	}
	defer p.Release()
	m := medium.Of(f.core.Fd())
	f.medium.Store(&m)
	return m
}
