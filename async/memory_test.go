package async_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// A file of two pages takes at most 4 KiB of memory, the first Load included, so
// that many can be open.
func TestMemoryPerFile(t *testing.T) {
	needsFiles(t)
	const n, size = 300, 8192
	if runtime.GOOS == "windows" {
		t.Skip("the bound is for systems with descriptors: it takes 4.8 KiB here")
	}
	testutil.RequireDescriptors(t, n+100)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // striped values follow it
	p := open(t, async.PoolOptions{})
	dir := t.TempDir()
	names := make([]string, n)
	for i := range names {
		names[i] = filepath.Join(dir, strconv.Itoa(i))
		check(t, os.WriteFile(names[i], pattern(size), 0o600))
	}
	files := make([]*async.File, n)
	before := heap()
	for i := range files {
		f, err := async.Open(bg, p, names[i], core.Options{}).Await(bg)
		check(t, err)
		files[i] = f
		pin, err := f.Load(bg, 0, size).Await(bg)
		check(t, err)
		pin.Release()
	}
	per := (heap() - before) / n
	t.Logf("%d bytes", per)
	if per > 4096 {
		t.Errorf("memory of a file: got %d bytes, want at most 4096", per)
	}
	for _, f := range files {
		check(t, f.Close())
	}
}

// heap returns how many bytes of the heap are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // frees what finalizers let go
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
