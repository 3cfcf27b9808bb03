// Package async has the shape of the real one.
package async

import (
	"context"

	"github.com/fmmap-go/fmmap/core"
)

type File struct{}
type Future[T any] struct{}
type Background struct{}

func (f *Future[T]) Wait() error                              { return nil }
func (f *Future[T]) Await(ctx context.Context) (v T, e error) { return }
func (f *Future[T]) TryResult() (v T, err error, ok bool)     { return }

func (f *File) Core() *core.File                                              { return nil }
func (f *File) Load(ctx context.Context, off, n int64) *Future[*core.Pin]     { return nil }
func (f *File) TryLoad(off, n int64) (*core.Pin, bool)                        { return nil, false }
func (f *File) Flush() *Future[struct{}]                                      { return nil }
func (f *File) FlushRange(off, n int64) *Future[struct{}]                     { return nil }
func (f *File) Truncate(ctx context.Context, size int64) *Future[struct{}]    { return nil }
func (f *File) WriteAt(ctx context.Context, p []byte, off int64) *Future[int] { return nil }
func (f *File) StartClose(ctx context.Context) *Future[struct{}]              { return nil }
func (f *File) Close() error                                                  { return nil }
func (b *Background) Barrier() *Future[struct{}]                              { return nil }
func (b *Background) Close() error                                            { return nil }
func (b *Background) StartClose(ctx context.Context) *Future[struct{}]        { return nil }
func Go[T any](ctx context.Context, p any, fn func(context.Context) (T, error)) *Future[T] {
	return nil
}
