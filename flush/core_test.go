package flush_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// A core.File has all that a target can have.
var _ interface {
	flush.Target
	Len() int64
	Flush() error
	StartWriteback(off, n int64) error
} = (*core.File)(nil)

var _ interface{ Final() bool } = (*core.FlushError)(nil)

func TestCoreFileAsTarget(t *testing.T) {
	f, err := core.Create(filepath.Join(t.TempDir(), "data"), 1<<20)
	if !sys.MapsFiles {
		t.Skipf("this system maps no files: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := flush.NewCommitter(f, flush.Options{})
	bg := flush.NewBackground(c, flush.Policy{DirtyBytes: 64 << 10})
	var wg sync.WaitGroup
	for g := range int64(8) {
		wg.Go(func() {
			record := []byte{byte(g)}
			for i := range int64(20) {
				off := g<<17 + i<<12
				if _, err := f.WriteAt(record, off); err != nil {
					t.Error(err)
				}
				bg.MarkDirty(1 << 12)
				if err := c.Flush(t.Context(), off, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := c.Commit(1<<20, 1).Err(); !errors.Is(err, flush.ErrRange) {
		t.Errorf("Commit past the end: %v, want ErrRange", err)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*flush.Batch{c.CommitAll(), bg.Barrier()} {
		if err := b.Wait(context.Background()); err != nil {
			t.Errorf("flush of an empty file: %v", err)
		}
	}
	if err := errors.Join(bg.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	var pathErr *fs.PathError
	if err := c.CommitAll().Wait(t.Context()); !errors.Is(err, fs.ErrClosed) || !errors.As(err, &pathErr) {
		t.Errorf("flush of a closed file: %v, want a PathError of fs.ErrClosed", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
