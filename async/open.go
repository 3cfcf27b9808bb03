package async

import (
	"context"

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
	open := func(ctx context.Context) (*File, error) {
		f, err := core.OpenFileContext(ctx, name, o)
		if err != nil {
			return nil, err
		}
		return Wrap(p, f), nil
	}
	t := newTask(ctx, p.lane(LaneMeta), opOpen, open, func(f *File) { f.StartClose(context.Background()) })
	t.inTime = true // a file that was created is taken back by its opening alone
	t.submit()
	return &t.Future
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
