// Package flush has the shape of the real one.
package flush

import "context"

type Committer struct{}
type Batch struct{}
type Background struct{}

func (c *Committer) Commit(off, n int64) *Batch                    { return nil }
func (c *Committer) CommitAll() *Batch                             { return nil }
func (c *Committer) Flush(ctx context.Context, off, n int64) error { return nil }
func (c *Committer) Close() error                                  { return nil }
func (b *Batch) Wait(ctx context.Context) error                    { return nil }
func (b *Batch) Done() <-chan struct{}                             { return nil }
func (b *Background) Barrier() *Batch                              { return nil }
func (b *Background) Close() error                                 { return nil }
