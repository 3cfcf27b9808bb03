package torture

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// A secretive file has 10 MiB and does not say that they take up room.
type secretive struct {
	fs.Inode
	flags uint32 // of every open file
}

var (
	_ fs.NodeOpener    = (*secretive)(nil)
	_ fs.NodeReader    = (*secretive)(nil)
	_ fs.NodeWriter    = (*secretive)(nil)
	_ fs.NodeGetattrer = (*secretive)(nil)
	_ fs.NodeSetattrer = (*secretive)(nil)
	_ fs.NodeStatfser  = (*secretive)(nil)
)

func (f *secretive) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, f.flags, 0
}

func (f *secretive) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	return fuse.ReadResultData(pattern(off, len(dest), 1)), 0
}

func (f *secretive) Write(_ context.Context, _ fs.FileHandle, b []byte, _ int64) (uint32, syscall.Errno) {
	return uint32(len(b)), 0
}

func (f *secretive) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blocks = syscall.S_IFREG|0o644, 10*mib, 0
	return 0
}

func (f *secretive) Setattr(ctx context.Context, h fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return f.Getattr(ctx, h, out)
}

// Statfs describes a disk that has 1 MiB free. The kernel calls it of the file
// itself.
func (f *secretive) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize, out.Blocks, out.Bfree, out.Bavail = 4096, 4096, 1<<20, 256, 256
	return 0
}

// secretRoot is the directory of two such files.
type secretRoot struct{ fs.Inode }

var _ fs.NodeOnAdder = (*secretRoot)(nil)

func (r *secretRoot) OnAdd(ctx context.Context) {
	for name, flags := range map[string]uint32{"cached": fuse.FOPEN_KEEP_CACHE, "direct": fuse.FOPEN_DIRECT_IO} {
		r.AddChild(name, r.NewPersistentInode(ctx, &secretive{flags: flags}, fs.StableAttr{Mode: syscall.S_IFREG}), true)
	}
}

// A file system that does not tell what blocks a file has is no full disk, and
// one that bypasses the page cache cannot be mapped.
func TestFileSystemInUserSpace(t *testing.T) {
	testutil.RequireDevice(t, "/dev/fuse")
	testutil.RequireMounts(t)
	dir := t.TempDir()
	server, err := fs.Mount(dir, &secretRoot{}, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, DisableXAttrs: true}})
	if err != nil {
		t.Skipf("no FUSE mount: %v", err)
	}
	defer func() {
		check(t, server.Unmount())
		server.Wait()
	}()
	name := filepath.Join(dir, "cached")
	var st syscall.Statfs_t
	if err := syscall.Statfs(name, &st); err != nil || int64(st.Bavail)*st.Bsize != mib {
		t.Fatalf("the disk has %d blocks of %d bytes free, %v; want 1 MiB", st.Bavail, st.Bsize, err)
	}
	f := must[*core.File](t)(core.OpenFile(name, core.Options{Access: core.ReadWrite}))
	if f.Len() != 10*mib {
		t.Errorf("%d bytes", f.Len())
	}
	check(t, f.Close())
	for _, access := range []core.Access{core.ReadOnly, core.ReadWrite} {
		err := second(core.OpenFile(filepath.Join(dir, "direct"), core.Options{Access: access}))
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v of a file without a page cache: %v, want ErrUnsupported", access, err)
		}
	}
}
