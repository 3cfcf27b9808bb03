package async_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

var errEnough = errors.New("enough")

// An Open whose context ends while it runs removes the file that it has created,
// restores the length of one that it has made longer, and releases the lock.
func TestAbandonedOpenLeavesNothing(t *testing.T) {
	needsFiles(t)
	const size = 1 << 20
	for _, c := range []struct {
		name     string
		existing int64 // length of the file before; negative if there is none
	}{{"created", -1}, {"made longer", 1000}} {
		t.Run(c.name, func(t *testing.T) {
			p := narrow(t)
			dir := t.TempDir()
			name := filepath.Join(dir, "file")
			if c.existing >= 0 {
				check(t, os.WriteFile(name, pattern(int(c.existing)), 0o600))
			}
			arrived, release := watchCalls(t).hold(t, sys.OpFallocate, 0)
			ctx, cancel := context.WithCancelCause(bg)
			opening := async.Open(ctx, p, name, core.Options{Access: core.ReadWrite, Create: true, Size: size})
			<-arrived
			cancel(errEnough)
			release()
			wantErr(t, "Open", opening.Wait(), errEnough)
			fi, err := os.Stat(name)
			switch {
			case c.existing < 0 && !errors.Is(err, fs.ErrNotExist):
				t.Errorf("Stat of the created file: got %v, want that it does not exist", err)
			case c.existing >= 0 && (err != nil || fi.Size() != c.existing):
				t.Errorf("Stat of the file made longer: got %v, %v, want %d bytes", fi, err, c.existing)
			}
			f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true}) // the lock is released
			check(t, err)
			check(t, f.Close())
		})
	}
}

// An endingContext ends, but only once it has been looked at some times.
type endingContext struct {
	context.Context
	looks atomic.Int64 // that find it not done
}

func (c *endingContext) Err() error {
	if c.looks.Add(-1) < 0 {
		return errEnough
	}
	return nil
}

// At whichever look Open finds its context done, either the file is open or
// nothing is left of it.
func TestOpenFailsOnlyIfNothingIsLeft(t *testing.T) {
	needsFiles(t)
	p := narrow(t)
	dir := t.TempDir()
	succeeded, failed := 0, 0
	for looks := range int64(30) {
		name := filepath.Join(dir, "file")
		ctx := &endingContext{Context: bg}
		ctx.looks.Store(looks)
		f, err := async.Open(ctx, p, name, core.Options{Access: core.ReadWrite, Create: true, Size: 10}).Await(bg)
		_, statErr := os.Stat(name)
		switch {
		case err == nil:
			succeeded++
			check(t, statErr)
			check(t, f.Close())
			check(t, os.Remove(name))
		case !errors.Is(statErr, fs.ErrNotExist):
			t.Fatalf("done after %d looks: %v, but the file was left behind: %v", looks, err, statErr)
		default:
			failed++
		}
	}
	if succeeded == 0 || failed == 0 {
		t.Errorf("%d openings succeeded and %d failed, want some of both", succeeded, failed)
	}
}

// A CopyTo whose context ends while it runs fails with the context's cause and
// leaves neither the copy nor what was to become it.
func TestAbandonedCopyLeavesNothing(t *testing.T) {
	p := narrow(t)
	f := onDisk(t, p, 8<<20)
	t.Cleanup(sys.Disable(sys.CallFiclone))
	dir := t.TempDir()
	c := watchCalls(t)
	c.failing(sys.OpCopyFileRange, errors.ErrUnsupported)
	arrived, release := c.hold(t, sys.OpCopyFileRange, 0)
	ctx, cancel := context.WithCancelCause(bg)
	copying := f.CopyTo(ctx, filepath.Join(dir, "copy"), 0, 8<<20)
	<-arrived
	cancel(errEnough)
	release()
	wantErr(t, "CopyTo", copying.Wait(), errEnough)
	names, err := os.ReadDir(dir)
	check(t, err)
	if len(names) != 0 {
		t.Errorf("the directory has %v, want nothing", names)
	}
	check(t, f.Core().Truncate(0)) // the copy holds no pin
}

// A Truncate whose context ends while it is queued, or while it makes the file
// longer, changes nothing.
func TestAbandonedTruncateChangesNothing(t *testing.T) {
	p := narrow(t)
	f := onDisk(t, p, 10_000)
	unchanged := func() {
		t.Helper()
		fi, err := f.Core().Stat()
		check(t, err)
		if fi.Size() != 10_000 || f.Core().Len() != 10_000 {
			t.Errorf("length after an abandoned Truncate: file %d, window %d, want 10000", fi.Size(), f.Core().Len())
		}
	}
	ctx, cancel := context.WithCancelCause(bg)
	free := occupy(t, p, async.LaneMeta)
	queued := f.Truncate(ctx, 20_000)
	cancel(errEnough)
	wantErr(t, "Truncate, queued", queued.Wait(), errEnough)
	free()
	unchanged()
	if runtime.GOOS == "windows" {
		return // where growing is one call, which has no steps to end between
	}
	for _, cause := range []error{errEnough, context.Canceled} { // Cancel of a change fails with the second
		arrived, release := watchCalls(t).hold(t, sys.OpFallocate, 0)
		ctx, cancel = context.WithCancelCause(bg)
		running := f.Truncate(ctx, 20_000)
		<-arrived
		cancel(cause)
		release()
		wantErr(t, "Truncate, running", running.Wait(), cause)
		unchanged()
	}
	check(t, f.Truncate(bg, 20_000).Wait()) // the change is over
}
