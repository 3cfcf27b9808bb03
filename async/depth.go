package async

import "time"

// A depth is how many reads, in units, a device takes without making the process
// wait that starts them. Callers start no more than is certain. Some devices, such
// as file systems that a process serves, are certain to take a few, and take more if
// they are set up for it. The pager, which may wait, finds that out: it starts reads
// beyond that as long as each start is quick. A read of what is in memory is always
// quick to start, so what was seen may be too much; then the pager waits, which costs
// time alone. The mu of the pagers guards it.
type depth struct {
	certain, most int // constants
	seen          int // what the device was seen to take
	retry         time.Time
}

// Times of starting a read, for each unit of it.
const (
	quickStart = 100 * time.Microsecond // it did not wait for others: that takes 15 to 85 µs
	slowStart  = 500 * time.Microsecond // it did

	// After a start that was not quick, the next one beyond what was seen follows in
	// so many times its duration, so that the pager spends little time in them.
	startPause   = 16
	longestPause = time.Second
)

// takes reports whether the pager is to start a read of that many units on top of
// those that were started.
func (d *depth) takes(started, units int) bool {
	n := started + units
	return n <= d.seen || n <= d.most && !time.Now().Before(d.retry)
}

// took records how long the pager took to start a read of that many units, with
// which so many were started.
func (d *depth) took(t time.Duration, units, started int) {
	each := t / time.Duration(max(units, 1))
	switch {
	case each <= quickStart:
		d.seen = max(d.seen, min(started, d.most))
	case started > d.seen:
		d.retry = time.Now().Add(min(startPause*t, longestPause))
	case each > slowStart: // what it takes is shared with others, or was misjudged
		d.seen = max(d.seen-1, d.certain)
	}
}
