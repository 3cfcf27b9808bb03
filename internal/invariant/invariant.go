// Package invariant checks what must hold between a package's own fields, in
// builds with the tag invariants:
//
//	go test -tags invariants ./...
//
// Without the tag, Enabled is false, and what depends on it is not compiled in:
//
//	if invariant.Enabled {
//		invariant.Check(l.queued == 0 || l.workers > 0, "%d queued", l.queued)
//	}
//
// The condition around Check keeps its arguments from being evaluated. An
// invariant is about this module's own mistakes. What a caller or the system
// may do wrong is an error instead.
package invariant

import "fmt"

// Check panics with the formatted message if the invariant cond does not hold.
// In builds without the tag it does nothing.
func Check(cond bool, format string, args ...any) {
	if Enabled && !cond {
		// A copy, so that args does not escape: callers count their allocations.
		panic(fmt.Sprintf("fmmap: invariant violated: "+format, append([]any(nil), args...)...))
	}
}
