// Package right has no mistake.
package right

import (
	"context"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

func kept(ctx context.Context, f *core.File, a *async.File) error {
	_ = f.Flush() // on purpose
	if err := f.FlushRange(0, 8); err != nil {
		return err
	}
	fut := a.Flush()
	if _, err := a.FlushRange(0, 8).Await(ctx); err != nil {
		return err
	}
	return fut.Wait()
}
