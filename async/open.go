package async

import (
	"context"
	"os"

	"github.com/fmmap-go/fmmap/core"
)

// Open maps a file as [core.OpenFile] does, on the Meta lane of p. With a nil p
// the [Default] pool serves this file.
//
// When ctx is done while the file is being opened, what was made until then is
// taken back as [core.OpenFileContext] does, and the future fails; once the file
// is open, the future succeeds. A file in a future that is collected before any
// caller has taken it is closed.
func Open(ctx context.Context, p *Pool, name string, o core.Options) *Future[*File] {
	return opening(ctx, p, func(ctx context.Context) (*core.File, error) { return core.OpenFileContext(ctx, name, o) })
}

// opening returns the future of the file that open opens on the Meta lane.
func opening(ctx context.Context, p *Pool, open func(context.Context) (*core.File, error)) *Future[*File] {
	wrapped := func(ctx context.Context) (*File, error) {
		f, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return Wrap(p, f), nil
	}
	t := newTask(ctx, p.lane(LaneMeta), opOpen, wrapped, func(f *File) { f.StartClose(context.Background()) })
	t.inTime = true // a file that was created is taken back by its opening alone
	t.submit()
	return &t.Future
}

// Map maps a file that is open already, as [core.Map] does, and otherwise as
// [Open] does. f must not be closed before the future has resolved.
func Map(ctx context.Context, p *Pool, f *os.File, o core.Options) *Future[*File] {
	return opening(ctx, p, func(ctx context.Context) (*core.File, error) { return core.MapContext(ctx, f, o) })
}

// Wrap makes a File of one that is open already, served by p, or by the
// [Default] pool if p is nil. Wrap a file once, and close it through what Wrap
// returns: that waits for the operations under way. Until then f may be used
// beside it, as [File.Core] may.
func Wrap(p *Pool, f *core.File) *File {
	const noDescriptor = ^uintptr(0)
	a := &File{pool: p.orDefault(), core: f, memoryOnly: f.Fd() == noDescriptor, succeeded: Ready(struct{}{})}
	return a
}
