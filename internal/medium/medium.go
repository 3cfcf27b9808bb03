// Package medium reports what device the bytes of an open file are read from. It
// is for package async, which has a pager per device and makes no system calls
// itself.
package medium

import "github.com/fmmap-go/fmmap/internal/sys"

// A Medium is what the bytes of files are read from.
type Medium = sys.Medium

// Unit is the size in bytes of a read as far as Medium.Depth is concerned: the
// system splits longer ones.
const Unit = sys.ReadUnit

// Memory returns how many bytes of memory the process can have, and its page cache
// with it.
func Memory() int64 { return sys.Memory() }

// Of returns the medium of an open file by its descriptor or handle, which the
// caller keeps open. Without one, ^uintptr(0), it returns that of memory.
func Of(fd uintptr) Medium { return sys.MediumOf(fd) }
