package sys

import (
	"io/fs"
	"os"
)

// An ID identifies a file of one machine, whatever names and descriptors it has.
// IDs are comparable. No other file has the same one while the file is open;
// later another may.
type ID struct {
	volume uint64
	file   [2]uint64
}

// IdentityOf returns [Identity] of the file that f.Stat has described as info,
// where package os asks the system for it.
func IdentityOf(info fs.FileInfo) (ID, bool) { return identityOf(info) }

// Identity returns the identity of an open file: device and inode, or volume and
// file index on Windows. Elsewhere it returns [errors.ErrUnsupported]. For a
// closed file it returns [os.ErrClosed].
func Identity(f *os.File) (ID, error) {
	var id ID
	err := control(f, func(fd uintptr) (err error) {
		id, err = identity(fd)
		return err
	})
	return id, err
}
