//go:build go1.27

package async

import (
	"context"
	"encoding/binary"

	"github.com/fmmap-go/fmmap/core"
)

// This file has functions of the package once more, as methods with type
// parameters, which Go 1.27 brought. Others do not build it.

// Then is [Then] as a method, for chains.
func (f *Future[T]) Then[U any](ctx context.Context, p *Pool, fn func(context.Context, T) (U, error)) *Future[U] {
	return Then(ctx, p, f, fn)
}

// Next is [Next] as a method.
func (r *Reader) Next[T core.Fixed](order binary.ByteOrder) (T, error) { return Next[T](r, order) }
