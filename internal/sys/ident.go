package sys

import "os"

// ID tells files of one machine apart, whatever names and descriptors they have. It is
// comparable, and a file's own as long as the file is open: later another may get it.
type ID struct {
	volume uint64
	file   [2]uint64
}

// Identity is the identity of an open file: device and inode, or volume and file
// index on Windows; elsewhere [errors.ErrUnsupported]. A closed one is [os.ErrClosed].
func Identity(f *os.File) (ID, error) {
	var id ID
	err := control(f, func(fd uintptr) (err error) {
		id, err = identity(fd)
		return err
	})
	return id, err
}
