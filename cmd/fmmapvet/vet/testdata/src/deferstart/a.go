package deferstart

import (
	"context"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/flush"
)

func starts(ctx context.Context, f *async.File, b *async.Background, c *flush.Committer, wait func(*async.Future[struct{}])) {
	defer f.StartClose(ctx).Wait()     // want "StartClose starts here, where the defer statement is evaluated"
	defer f.StartClose(ctx).Await(ctx) // want "StartClose starts here"
	defer f.Flush().Wait()             // want "Flush starts here" "the outcome of Flush is discarded"
	defer b.StartClose(ctx).Wait()     // want "StartClose starts here"
	defer c.CommitAll().Wait(ctx)      // want "CommitAll starts here" "the outcome of CommitAll is discarded"
	defer wait(f.Truncate(ctx, 8))     // want "Truncate starts here"
}
