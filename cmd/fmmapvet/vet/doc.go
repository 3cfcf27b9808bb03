// Package vet holds analyzers for programs that use
// github.com/fmmap-go/fmmap. Each reports one kind of mistake:
//
//   - pinrelease: a pin that is not released on some path
//   - pinuse: bytes of a pin that are used after its Release or Extend
//   - viewescape: bytes that leave the callback of View, Update or Do, or are
//     touched there by another goroutine or by the runtime
//   - selfwait: a Close, Freeze or shortening Truncate that waits for its own
//     caller
//   - deferstart: a defer statement that starts the work at once and defers the
//     wait alone
//   - flusherror: a flush whose outcome is discarded
//
// The analyzers look at one function at a time, and read nothing but the
// packages they are given from source. They prefer to stay silent where they
// cannot know: a pin that is handed to another function, stored or returned is
// that one's to release. They look through the functions of a package that
// return a pin, to see whether it is left to the caller or released elsewhere,
// by t.Cleanup for instance.
//
// In a test they take a path for ended where the test fails or asserts that
// there is an error: what is lost on it is lost in a test that has failed.
package vet

import "golang.org/x/tools/go/analysis"

// Analyzers returns all analyzers of the package.
func Analyzers() []*analysis.Analyzer {
	return []*analysis.Analyzer{PinRelease, PinUse, ViewEscape, SelfWait, DeferStart, FlushError}
}
