package sys

import "os"

// A Medium is what the bytes of files are read from.
type Medium struct {
	// Device is the same for two files exactly if they are on one device, or
	// volume. It is 0 for memory, and where the device is not known.
	Device uint64

	// Depth is how many reads of at most 128 KiB the system is known to queue
	// for the device without making the process wait that starts them.
	Depth int
}

// defaultDepth is the Depth of a medium of which nothing else is known.
const defaultDepth = 64

// MediumOf returns the medium of an open file, or the default for memory if f is
// nil, or closed.
func MediumOf(f *os.File) Medium {
	m := Medium{Depth: defaultDepth}
	if f == nil {
		return m
	}
	_ = control(f, func(fd uintptr) error {
		if id, err := identity(fd); err == nil {
			m.Device = id.volume
		}
		m.Depth = readDepth(fd)
		return nil
	})
	return m
}
