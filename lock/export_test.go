package lock

// Entries is the number of entries in the table that are in use.
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

// Kept is the number of entries in the table that nobody uses, and how many there may be.
func Kept() (n, most int) {
	inUse := Entries()
	files.mu.Lock()
	defer files.mu.Unlock()
	return len(files.entries) - inUse, keptEntries
}

const (
	FirstPause   = firstPause
	LongestPause = longestPause
	LongestTurn  = longestTurn
)
