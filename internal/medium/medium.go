// Package medium is the door by which package async learns what device the
// bytes of a *core.File are read from, without a method that users of core would
// see.
package medium

// A Medium is what the bytes of files are read from. See sys.Medium.
type Medium struct {
	Device uint64 // the same for files of one device; 0 for memory
	Depth  int    // how many reads can be started without waiting
}

// Unit is the size in bytes of a read as far as Depth is concerned: the system
// splits longer ones.
const Unit = 128 << 10

// Of returns the medium of a *core.File. Package core sets it.
var Of func(file any) Medium
