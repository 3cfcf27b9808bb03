package async

import (
	"errors"
	"math"

	"github.com/fmmap-go/fmmap/core"
)

// A target is the file as a committer flushes it. What has been cut off since
// it was requested needs no flushing, and is left out.
type target struct{ file *core.File }

func (t *target) Len() int64 { return t.file.Len() }

func (t *target) Flush() error { return t.file.Flush() }

func (t *target) FlushRange(off, n int64) error { return t.clipped(t.file.FlushRange, off, n) }

func (t *target) StartWriteback(off, n int64) error { return t.clipped(t.file.StartWriteback, off, n) }

// clipped calls do with the part of [off, off+n) that is in the window. The
// window may shrink once more before do checks the range; then it is tried
// again, each time with less.
func (t *target) clipped(do func(off, n int64) error, off, n int64) error {
	for last := int64(math.MaxInt64); ; {
		size := t.file.Len()
		from := min(off, size)
		err := do(from, min(n, size-from))
		if !errors.Is(err, core.ErrRange) || size >= last {
			return err
		}
		last = size
	}
}
