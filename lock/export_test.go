package lock

// Entries returns the number of entries in the table that are in use.
func Entries() int {
	files.mu.Lock()
	defer files.mu.Unlock()
	n := 0
	for _, e := range files.entries {
		if e.refs > 0 {
			n++
		}
	}
	return n
}

// Cached returns the number of unused entries in the table, and how many there
// may be.
func Cached() (n, most int) {
	files.mu.Lock()
	defer files.mu.Unlock()
	for _, e := range files.entries {
		if e.refs == 0 {
			n++
		}
	}
	return n, maxCached
}

// Steps returns how many holders and waiters the calls on the bytes or the file
// of l have looked at up to now. l must be held or waited for.
func (l *Lock) Steps() int {
	e := l.attached()
	defer e.mu.Unlock()
	return e.holders.steps + e.queue.ranges.steps
}

const (
	FirstPause   = firstPause
	LongestPause = longestPause
	LongestTurn  = longestTurn
)
