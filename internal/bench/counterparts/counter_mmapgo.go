package counterparts

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// mmapgoAdd does what fmmapAdd does.
func mmapgoAdd(name string, i int, n uint64) (sum uint64, err error) {
	f, err := openLocked(name, os.O_RDWR|os.O_CREATE, unix.LOCK_EX)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b, err := mapGrown(f, 8*counters)
	if err != nil {
		return 0, err
	}
	defer b.Unmap()
	err = guard(b, func() error {
		sum = binary.LittleEndian.Uint64(b[8*i:]) + n
		binary.LittleEndian.PutUint64(b[8*i:], sum)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return sum, b.Flush()
}
