package counterparts

import (
	"encoding/binary"
	"os"
	"runtime"

	"github.com/edsrzf/mmap-go"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// mmapgoPipeline does what fmmapPipeline does.
func mmapgoPipeline(from, to string, chunk int64) error {
	inFile, err := openLocked(from, os.O_RDONLY, unix.LOCK_SH|unix.LOCK_NB)
	if err != nil {
		return err
	}
	defer inFile.Close()
	in, err := mapWhole(inFile, mmap.RDONLY)
	if err != nil {
		return err
	}
	chunks := (int64(len(in)) + chunk - 1) / chunk
	if chunks == 0 {
		return os.WriteFile(to, nil, 0o644)
	}
	defer in.Unmap()
	outFile, err := openLocked(to, os.O_RDWR|os.O_CREATE, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return err
	}
	defer outFile.Close()
	if err := outFile.Truncate(0); err != nil {
		return err
	}
	out, err := mapGrown(outFile, chunks*sumSize)
	if err != nil {
		return err
	}
	defer out.Unmap()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range chunks {
		g.Go(func() error {
			var sum uint32
			err := guard(in, func() error {
				sum = checksum(in[i*chunk : min((i+1)*chunk, int64(len(in)))])
				return nil
			})
			if err != nil {
				return err
			}
			return guard(out, func() error {
				binary.LittleEndian.PutUint32(out[i*sumSize:], sum)
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return out.Flush()
}
