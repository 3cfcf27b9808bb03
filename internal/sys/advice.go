package sys

import "strconv"

// Advice is a hint to the kernel about a range of memory.
type Advice uint8

const (
	Normal        Advice = iota // no special treatment
	Random                      // expect references in random order: no read-ahead
	Sequential                  // expect them in order: read ahead, drop behind
	WillNeed                    // start reading the range now; waits for nothing
	DontNeed                    // drop the pages from this mapping; a shared file keeps its bytes, private changes are lost
	Free                        // anonymous: the kernel may drop the bytes when it needs memory
	Remove                      // free the backing store of the range: bytes become zero
	DontFork                    // not inherited by a child process
	DoFork                      // undoes DontFork
	Mergeable                   // same pages may be merged (KSM)
	Unmergeable                 // undoes Mergeable
	Huge                        // transparent huge pages wanted
	NoHuge                      // and not wanted
	DontDump                    // not part of a core dump
	DoDump                      // undoes DontDump
	Cold                        // first to be reclaimed
	PageOut                     // reclaim now
	Collapse                    // make huge pages of it now
	PopulateRead                // bring the pages in, readable
	PopulateWrite               // bring the pages in, writable
)

// String returns the name that Linux has for the advice.
func (a Advice) String() string {
	names := [...]string{
		"MADV_NORMAL", "MADV_RANDOM", "MADV_SEQUENTIAL", "MADV_WILLNEED",
		"MADV_DONTNEED", "MADV_FREE", "MADV_REMOVE", "MADV_DONTFORK",
		"MADV_DOFORK", "MADV_MERGEABLE", "MADV_UNMERGEABLE", "MADV_HUGEPAGE",
		"MADV_NOHUGEPAGE", "MADV_DONTDUMP", "MADV_DODUMP", "MADV_COLD",
		"MADV_PAGEOUT", "MADV_COLLAPSE", "MADV_POPULATE_READ",
		"MADV_POPULATE_WRITE",
	}
	if int(a) < len(names) {
		return names[a]
	}
	return "MADV_" + strconv.Itoa(int(a))
}
