package counterparts

import (
	"encoding/binary"

	"github.com/fmmap-go/fmmap/core"
)

// fmmapAdd adds n to the i-th counter of a file that several processes add to,
// each waiting for the one before, and returns the sum once it is durable.
func fmmapAdd(name string, i int, n uint64) (sum uint64, err error) {
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: 8 * counters, Wait: true})
	if err != nil {
		return 0, err
	}
	defer f.Close()
	err = f.Update(func(b []byte) error {
		sum = binary.LittleEndian.Uint64(b[8*i:]) + n
		binary.LittleEndian.PutUint64(b[8*i:], sum)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return sum, f.Flush()
}
