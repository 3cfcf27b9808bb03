package async

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/medium"
)

// A page fault reads the pages around the one that it waits for too, since they
// are likely to be asked for next. So does a request for pages, except that what
// is read around them is queued behind all requests that wait: the pager starts
// it when it has brought in what was waited for, and waits for none of it.
//
// Reads that nothing waits for take the device from those that something waits
// for. So a file begins with one block of 64 KiB at a time, and is allowed twice
// as much when what was read around is then asked for: as often as chance would
// have it, or in every second block. It is allowed half as much, and in the end
// nothing for a while, when that is not so.
const (
	aroundBlock = 64 << 10 // what is read, and counted as asked for
	aroundMost  = 1 << 20  // at once, around one request, or a quarter of what may be under way
	aroundLimit = 4 << 20  // under way at once, of one file

	// A device that reads so many units in a second, while others wait for it too, is
	// quick. Of that four times as much is read around at a time: as long as that
	// takes a request may have to wait, 32 ms then.
	aroundQuick      = 512 << 20 / medium.Unit
	aroundLimitQuick = 4 * aroundLimit

	// With AdviceSequential a file begins with more.
	aroundSequential     = 512 << 10
	aroundMostSequential = 2 << 20

	// A block is not read around again for so long.
	aroundAgain = time.Second

	// An epoch is so long. What was read around in one and not asked for in it or
	// the next is forgotten: it has been evicted, or there is memory for it.
	aroundEpoch = 16 * time.Second

	// How long what chance would have is counted for. Sooner, and the readers of a
	// cold file wait for what is read around them.
	aroundPace = 125 * time.Millisecond

	// Once reading around was given up, it is tried again after a pause.
	aroundPause, aroundLongestPause = time.Second, 64 * time.Second
)

// aroundShare is how many bytes of a pool's files may have been read around and
// not asked for. Pages that were never asked for are the first to be evicted, and
// an eighth of the memory is less than there usually is of pages that were used once.
// It is a variable for tests.
var aroundShare = sync.OnceValue(func() int64 { return medium.Memory() / 8 })

// around decides what is read around the requests for pages of a file. Its zero
// value is ready for use; where nothing was read around yet, a nil one is enough.
type around struct {
	unasked atomic.Int64 // blocks that were read around and not asked for
	bytes   atomic.Int64 // ever read around
	asked   atomic.Int64 // blocks of them ever asked for

	mu             sync.Mutex // guards what follows; those of pagers and unasked are taken within it
	epoch          int64
	regions, older map[int64]*aroundRegion // of the epoch, and of the one before it

	allowed int64 // bytes under way at once; 0 before the first, and in a pause
	retry   time.Time
	pause   time.Duration

	// What has happened since the last change of allowed.
	since        time.Time
	issued, hits int64   // blocks that were read around, and of all such that were asked for
	chance       float64 // blocks that random requests would have asked for
}

// An aroundRegion is what is known of 64 consecutive blocks, a bit for each.
type aroundRegion struct {
	since   time.Time
	done    uint64 // read around, or asked for, since then
	unasked uint64 // read around and not asked for
}

const aroundRegionBlocks = 64

// unasked counts the blocks of all files of a pool that were read around and not
// asked for, in the epoch in which that was last done in their region, and the
// one before it.
type unasked struct {
	mu          sync.Mutex
	epoch       int64
	now, before int64
}

// count adds blocks to those of an epoch, and returns how many there are.
func (u *unasked) count(epoch, blocks int64) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case epoch == u.epoch+1:
		u.epoch, u.now, u.before = epoch, 0, u.now
	case epoch > u.epoch:
		u.epoch, u.now, u.before = epoch, 0, 0
	}
	switch epoch {
	case u.epoch:
		u.now += blocks
	case u.epoch - 1:
		u.before += blocks
	}
	return u.now + u.before
}

// blocksOf calls fn with each region that has blocks of [off, off+n), and their
// bits.
func blocksOf(off, n int64, fn func(region int64, mask uint64)) {
	last := (off + n - 1) / aroundBlock
	for block := off / aroundBlock; block <= last; {
		region := block / aroundRegionBlocks
		end := min(last, (region+1)*aroundRegionBlocks-1)
		from, to := uint(block%aroundRegionBlocks), uint(end%aroundRegionBlocks)
		fn(region, math.MaxUint64>>(aroundRegionBlocks-1-to)&^(1<<from-1))
		block = end + 1
	}
}

// ask records that a range of a window of the given size was asked for.
func (a *around) ask(p *pagers, off, n, size int64) {
	if a != nil && a.unasked.Load() > 0 {
		a.mu.Lock()
		a.askLocked(p, off, n, size)
		a.mu.Unlock()
	}
}

func (a *around) askLocked(p *pagers, off, n, size int64) {
	unasked := a.unasked.Load()
	if unasked == 0 {
		return
	}
	hits := int64(0)
	blocksOf(off, n, func(region int64, mask uint64) {
		epoch, r := a.epoch, a.regions[region]
		if r == nil {
			epoch, r = a.epoch-1, a.older[region]
		}
		if r != nil && r.unasked&mask != 0 {
			asked := int64(bits.OnesCount64(r.unasked & mask))
			r.unasked &^= mask
			a.count(p, epoch, -asked)
			hits += asked
		}
	})
	asked := (off+n-1)/aroundBlock - off/aroundBlock + 1
	a.chance += float64(asked) * min(1, float64(unasked*aroundBlock)/float64(size))
	a.hits += hits
	a.asked.Add(hits)
}

// count counts blocks that were read around and not asked for.
func (a *around) count(p *pagers, epoch, blocks int64) {
	a.unasked.Add(blocks)
	p.unasked.count(epoch, blocks)
}

// stats returns the bytes that were read around requests, and those that were
// asked for afterwards, in whole blocks.
func (a *around) stats() (read, asked uint64) {
	if a == nil {
		return 0, 0
	}
	read = uint64(a.bytes.Load())
	return read, min(read, uint64(a.asked.Load())*aroundBlock)
}

// forget forgets what was read around, as the file is closed.
func (a *around) forget(p *pagers) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(p, a.epoch+2)
}

// turn begins an epoch, if that is not the current one, and forgets what was
// read around before the one that ends.
func (a *around) turn(p *pagers, epoch int64) {
	for end := min(epoch, a.epoch+2); a.epoch < end; a.epoch++ {
		blocks := int64(0)
		for _, r := range a.older {
			blocks += int64(bits.OnesCount64(r.unasked))
		}
		a.count(p, a.epoch-1, -blocks)
		a.older, a.regions = a.regions, make(map[int64]*aroundRegion)
	}
	a.epoch = max(a.epoch, epoch)
}

// adapt changes what is allowed by what has happened.
func (a *around) adapt(now time.Time, fits bool, order core.Advice, limit int64) {
	if a.allowed == 0 {
		if now.Before(a.retry) {
			return
		}
		a.allowed = aroundBlock
		if order == core.AdviceSequential {
			a.allowed = aroundSequential
		}
		a.since, a.issued, a.hits, a.chance = now, 0, 0, 0
		return
	}
	// With few blocks the figures say nothing yet.
	random := fits && a.chance >= 8 && now.Sub(a.since) >= aroundPace
	switch {
	case a.issued >= 16 && 2*a.hits >= a.issued, random && float64(2*a.hits) >= a.chance:
		a.allowed = min(2*a.allowed, max(limit, aroundBlock))
		a.pause = 0
	case random && float64(4*a.hits) < a.chance, !fits && a.issued >= 64 && 16*a.hits < a.issued:
		if a.allowed /= 2; a.allowed < aroundBlock {
			a.allowed = 0
			a.pause = min(max(2*a.pause, aroundPause), aroundLongestPause)
			a.retry = now.Add(a.pause)
		}
	case random, !fits && a.issued >= 64:
	default:
		return
	}
	a.since, a.issued, a.hits, a.chance = now, 0, 0, 0
}

// plan returns what to read around the pages of a request, in a window of the
// given size, and counts it. It returns 0 bytes if that is nothing.
func (a *around) plan(r *request, size int64, order core.Advice) (b *behind, off, n int64) {
	p, now := r.pool, time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(p, now.UnixNano()/int64(aroundEpoch))
	fits := size <= aroundShare()
	a.askLocked(p, r.off, r.n, size)
	a.adapt(now, fits, order, r.aroundLimit())
	most := int64(aroundMost)
	if order == core.AdviceSequential {
		most = aroundMostSequential
	}
	most = max(most, a.allowed/4)
	span := min(a.allowed, most)
	for span > 0 && span < 2*r.n && span < most {
		span *= 2
	}
	if span <= r.n || a.isDone(r.off, now) {
		return nil, 0, 0
	}
	off = r.off &^ (span - 1)
	end := min((r.off+r.n+span-1)&^(span-1), size)
	for off < r.off&^(aroundBlock-1) && a.isDone(off, now) {
		off += aroundBlock
	}
	for end > r.off+r.n && a.isDone(end-1, now) {
		end = (end - 1) &^ (aroundBlock - 1)
	}
	blocks := (end-1)/aroundBlock - off/aroundBlock + 1
	if end <= off || (p.unasked.count(a.epoch, 0)+blocks)*aroundBlock > aroundShare() {
		return nil, 0, 0
	}
	if b = r.admit(end-off, a.allowed); b == nil {
		return nil, 0, 0
	}
	blocksOf(off, end-off, func(region int64, mask uint64) {
		s := a.region(p, region, now)
		s.done |= mask
		a.count(p, a.epoch, int64(bits.OnesCount64(mask&^s.unasked)))
		s.unasked |= mask
	})
	a.issued += blocks
	a.bytes.Add(end - off)
	return b, off, end - off
}

// region returns what is known of a region, of which what was done long ago is
// forgotten.
func (a *around) region(p *pagers, i int64, now time.Time) *aroundRegion {
	r := a.regions[i]
	if r == nil {
		if r = a.older[i]; r != nil {
			unasked := int64(bits.OnesCount64(r.unasked))
			a.count(p, a.epoch-1, -unasked)
			a.count(p, a.epoch, unasked)
			delete(a.older, i)
		} else {
			r = &aroundRegion{since: now}
		}
		a.regions[i] = r
	}
	if now.Sub(r.since) >= aroundAgain {
		r.since, r.done = now, 0
	}
	return r
}

// isDone reports whether the block of an offset was read around lately.
func (a *around) isDone(off int64, now time.Time) bool {
	block := off / aroundBlock
	r := a.regions[block/aroundRegionBlocks]
	return r != nil && r.done>>uint(block%aroundRegionBlocks)&1 != 0 && now.Sub(r.since) < aroundAgain
}

// readAround queues the reading of what is around the pages of a request, which
// have been brought in, behind the requests that wait.
func (f *File) readAround(r *request) {
	order := f.core.Order()
	if f.memoryOnly || order == core.AdviceRandom || r.device.depth.certain == 0 {
		return
	}
	if f.around.Load() == nil {
		f.around.CompareAndSwap(nil, new(around))
	}
	b, off, n := f.around.Load().plan(r, f.core.Len(), order)
	if n == 0 {
		return
	}
	f.skips.Store(0) // the block will soon be resident
	read := func(dropped error) {
		began := time.Now()
		if dropped == nil {
			_ = f.core.Advise(core.AdviceWillNeed, off, n) // it may be closed by now, or shorter
		}
		b.issued(r.pool, began)
	}
	if err := executeIn(r.lane, opReadAround, read); err != nil {
		b.issued(r.pool, time.Now())
	}
}
