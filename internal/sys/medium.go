package sys

// A Medium is what the bytes of files are read from.
type Medium struct {
	// Device is the same for two files exactly if they are on one device, or
	// volume. It is 0 for memory, and where the device is not known.
	Device uint64

	// Depth is how many reads of at most ReadUnit bytes the system is known to
	// queue for the device without making the process wait that starts them.
	Depth int

	// MaxDepth is how many it may turn out to queue, depending on how the file
	// system was mounted. It is Depth where that is known.
	MaxDepth int
}

// ReadUnit is the size in bytes beyond which the system splits a read.
const ReadUnit = 128 << 10

// defaultDepth is the Depth of a medium of which nothing else is known.
const defaultDepth = 64

// MediumOf returns the medium of an open file by its descriptor or handle, which
// the caller keeps open. Without one, ^uintptr(0), it returns that of memory.
func MediumOf(fd uintptr) Medium {
	m := Medium{Depth: defaultDepth, MaxDepth: defaultDepth}
	if id, err := identity(fd); err == nil { // it fails without a file
		m.Device = id.volume
		m.Depth, m.MaxDepth = readDepth(fd)
	}
	return m
}
