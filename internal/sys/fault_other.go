//go:build !unix && !windows

package sys

// IsFault reports whether a system call refused memory that it was handed.
func IsFault(error) bool { return false }
