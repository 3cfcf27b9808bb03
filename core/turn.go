package core

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// How preads of what is not in memory take turns.
//
// A goroutine in a system call keeps its P until the scheduler notices that it is
// blocked, and needs one again when it comes back. With two of them waiting for the
// device that costs more than all else that a read of a page does. So a reader
// begins its read at once, as the others do, and waits for it when it has the
// file's turn. By then the pages are most often there:
//
//	preadv2 ──► read it all
//	   └──► WILLNEED ──► the turn ──► pread ──► the turn of the next one
//
// A page that the device cannot read must not hold up readers of others for long:
// they wait for the turn only for a while, and then for the device, side by side.
const (
	turnTime = 5 * time.Millisecond
	turnMost = 128 << 10 // bytes; the time of larger reads is that of the device
)

// loadByCall reads bytes at off of the window of g into p by system calls.
func (f *File) loadByCall(g *generation, p []byte, off int64) (int, error) {
	fd, at := f.loads.fd.Load(), f.opts.Offset+off
	if len(p) > turnMost {
		return sys.LoadAt(fd, p, at)
	}
	n, left, err := sys.LoadNow(fd, p, at)
	if !left {
		return n, err
	}
	// What could not be begun would not be in memory when the turn comes.
	p, off, at = p[n:], off+int64(n), at+int64(n)
	if g.region.m.Advise(sys.WillNeed, g.region.delta+off, int64(len(p))) == nil {
		if turn := f.loads.turn.Load(); takeTurn(turn) {
			defer turn.Release(1)
		}
	}
	m, err := sys.LoadAt(fd, p, at)
	return n + m, err
}

// takeTurn waits until the caller has the turn, which it has to release, or has
// waited for too long. It reports which.
func takeTurn(turn *semaphore.Weighted) bool {
	if turn.TryAcquire(1) {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), turnTime)
	defer cancel()
	return turn.Acquire(ctx, 1) == nil
}
