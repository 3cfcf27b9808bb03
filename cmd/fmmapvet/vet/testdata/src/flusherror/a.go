package flusherror

import (
	"context"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
)

func lost(ctx context.Context, f *core.File, a *async.File, c *flush.Committer, b *async.Background) {
	f.Flush()               // want "the outcome of Flush is discarded"
	f.FlushRange(0, 8)      // want "the outcome of FlushRange is discarded"
	defer f.Flush()         // want "the outcome of Flush is discarded"
	go f.Flush()            // want "the outcome of Flush is discarded"
	a.Flush()               // want "the outcome of Flush is discarded"
	a.FlushRange(0, 8)      // want "the outcome of FlushRange is discarded"
	a.Flush().Wait()        // want "the outcome of Flush is discarded"
	a.Flush().Await(ctx)    // want "the outcome of Flush is discarded"
	b.Barrier()             // want "the outcome of Barrier is discarded"
	c.Commit(0, 8)          // want "the outcome of Commit is discarded"
	c.CommitAll().Wait(ctx) // want "the outcome of CommitAll is discarded"
	c.Flush(ctx, 0, 8)      // want "the outcome of Flush is discarded"
}
