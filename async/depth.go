package async

import "time"

// A depth is how many reads, in units, a device takes without making the process
// wait that starts them. Callers start no more than is certain. Some devices, such
// as file systems that a process serves, are certain to take a few, and take more if
// they are set up for it. The pager, which may wait, finds that out: it starts reads
// beyond that as long as each start is quick. The mu of the pagers guards it.
type depth struct {
	certain, most int
	seen          int // what the device was seen to take
	retry         time.Time
}

const (
	quickStart = 100 * time.Microsecond // of a read that did not wait for others: it takes a sixth of that
	slowStart  = 500 * time.Microsecond // of one that did

	// After a start that was not quick, the next one beyond what was seen follows in
	// so many times its duration, so that the pager spends little time in them.
	startPause = 16
)

// takes reports whether the pager is to start a read of that many units on top of
// those that were started.
func (d *depth) takes(started, units int) bool {
	n := started + units
	return n <= d.seen || n <= d.most && !time.Now().Before(d.retry)
}

// took records how long the pager took to start a read with which that many units
// were started.
func (d *depth) took(t time.Duration, started int) {
	switch {
	case t <= quickStart:
		d.seen = max(d.seen, min(started, d.most))
	case started > d.seen:
		d.retry = time.Now().Add(startPause * t)
	case t > slowStart: // what it takes is shared with others, or was misjudged
		d.seen = max(d.seen-1, d.certain)
	}
}
