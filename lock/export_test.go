package lock

// Entries is the number of entries in the table.
func Entries() int {
	files.mu.Lock()
	defer files.mu.Unlock()
	return len(files.entries)
}

// Waiting is the number of requests that l has in the queue.
func (l *Lock) Waiting() int {
	e := l.attached()
	if e == nil {
		return 0
	}
	defer e.leave(l)
	return l.pending
}

const (
	FirstPause   = firstPause
	LongestPause = longestPause
	LongestTurn  = longestTurn
)
