package counterparts

import (
	"encoding/binary"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/core"
)

// fmmapPipeline computes the checksums of the chunks of a file by several
// goroutines, into another file, durably.
func fmmapPipeline(from, to string, chunk int64) error {
	in, err := core.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	chunks := (in.Len() + chunk - 1) / chunk
	out, err := core.Create(to, chunks*sumSize)
	if err != nil {
		return err
	}
	defer out.Close()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range chunks {
		g.Go(func() error {
			return in.View(func(b []byte) error {
				sum := checksum(b[i*chunk : min((i+1)*chunk, int64(len(b)))])
				return core.Put(out, i*sumSize, binary.LittleEndian, sum)
			})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return out.Flush()
}
