package disk

import (
	"context"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// mountFUSE serves the store's two files at dir.
func mountFUSE(dir string, s *store, queue int) (*fuse.Server, error) {
	forever := 24 * time.Hour // nothing else changes the files
	return fs.Mount(dir, &root{store: s}, &fs.Options{
		EntryTimeout: &forever,
		AttrTimeout:  &forever,
		MountOptions: fuse.MountOptions{
			FsName:                   "fmmap-disk",
			Name:                     "fmmap",
			DirectMountStrict:        true,
			AllowOther:               true,
			MaxBackground:            queue,
			MaxWrite:                 1 << 20,
			ExplicitDataCacheControl: true,
			DisableXAttrs:            true,
			DisableSplice:            true,
		},
	})
}

// root is the directory of the two files.
type root struct {
	fs.Inode
	store *store
}

var _ fs.NodeOnAdder = (*root)(nil)

func (r *root) OnAdd(ctx context.Context) {
	for name, flags := range map[string]uint32{
		rawName:  fuse.FOPEN_DIRECT_IO,
		fileName: fuse.FOPEN_KEEP_CACHE,
	} {
		r.AddChild(name, r.NewPersistentInode(ctx, &file{store: r.store, flags: flags}, fs.StableAttr{Mode: syscall.S_IFREG}), true)
	}
}

// file is the content of the disk.
type file struct {
	fs.Inode
	store *store
	flags uint32 // of every open file
}

var (
	_ fs.NodeOpener    = (*file)(nil)
	_ fs.NodeReader    = (*file)(nil)
	_ fs.NodeWriter    = (*file)(nil)
	_ fs.NodeFsyncer   = (*file)(nil)
	_ fs.NodeFlusher   = (*file)(nil)
	_ fs.NodeGetattrer = (*file)(nil)
	_ fs.NodeSetattrer = (*file)(nil)
)

func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, f.flags, 0
}

func (f *file) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n, errno := f.store.read(dest, off)
	if errno != 0 {
		return nil, errno
	}
	return fuse.ReadResultData(dest[:n]), 0
}

func (f *file) Write(_ context.Context, _ fs.FileHandle, b []byte, off int64) (uint32, syscall.Errno) {
	if errno := f.store.write(b, off); errno != 0 {
		return 0, errno
	}
	return uint32(len(b)), 0
}

func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return f.store.flush() }

// Flush is a close(2), which means nothing to a disk.
func (f *file) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	size, err := f.store.size()
	out.Mode = syscall.S_IFREG | 0o666
	out.Size = uint64(size)
	out.Blocks = (out.Size + 511) / 512
	out.Blksize = 4096
	return errnoOf(err)
}

func (f *file) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		if err := f.store.live.Truncate(int64(size)); err != nil {
			return errnoOf(err)
		}
	}
	return f.Getattr(ctx, h, out)
}
