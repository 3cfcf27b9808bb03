package sys

import "os"

// A Span is the bytes [Off, Off+Len) of a file.
type Span struct{ Off, Len int64 }

// IsHole reports whether no byte of the span holds data. Blocks that were never
// written hold none.
func IsHole(f *os.File, s Span) bool { return isHole(f, s) }

// Missing returns the parts of [off, off+n) of the file that have no blocks, in
// order. exact reports whether blocks that are allocated but were never written
// are known apart from holes; if not, they are among the parts. It returns
// [errors.ErrUnsupported] where the system cannot tell, or could not fill holes.
func Missing(f *os.File, off, n int64) (parts []Span, exact bool, err error) {
	if err := injected(OpHoles); err != nil {
		return nil, false, err
	}
	return missing(f, off, n)
}
