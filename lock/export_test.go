package lock

// Entries is the number of entries in the table.
func Entries() int {
	files.mu.Lock()
	defer files.mu.Unlock()
	return len(files.entries)
}

const (
	FirstPause   = firstPause
	LongestPause = longestPause
	LongestTurn  = longestTurn
)
