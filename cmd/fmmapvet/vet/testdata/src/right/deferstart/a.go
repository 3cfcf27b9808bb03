// Package right has no mistake.
package right

import (
	"context"

	"github.com/fmmap-go/fmmap/async"
)

func right(ctx context.Context, f *async.File, b *async.Background) {
	defer f.Close()
	defer b.Close()
	closing := f.StartClose(ctx)
	defer closing.Wait()
	defer func() { _ = f.StartClose(ctx).Wait() }()
}
