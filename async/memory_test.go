package async_test

import (
	"math/rand/v2"
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
	async.AgeHints(2 * async.HintTicks) // those of other tests take no places
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

// The memory of hints is bounded, whatever the size of the file and however many
// of its pages have been asked for, and follows what was asked for lately.
func TestHintsAreBounded(t *testing.T) {
	still(t, func(t *testing.T, p *async.Pool) {
		const tib, bound = 1 << 40, 1<<20 + 4<<10 // stamps, and the tables of their chunks
		seed := testutil.Seed(t)
		r := rand.New(rand.NewPCG(seed, 0))
		f := async.Wrap(p, core.NewMemory("memory", pattern(10)))
		closedAtEnd(t, f)
		most := 0
		for tick := range 3 * async.HintTicks {
			for range 20_000 {
				async.RecordHint(f, r.Int64N(tib-4096), 4096, tib)
			}
			if n := async.HintBytes(); n > bound {
				t.Fatalf("hints after %d ticks: got %d bytes, want at most %d", tick, n, bound)
			} else {
				most = max(most, n)
			}
			async.AgeHints(1)
		}
		async.AgeHints(2 * async.HintTicks)
		async.RecordHint(f, 0, 4096, tib)
		if n := async.HintBytes(); n > most/10 {
			t.Errorf("hints when one page was asked for lately: got %d bytes, after %d before", n, most)
		}
	})
}

// Files that are used side by side keep their hints, also where one is large.
func TestHintsOfManyFiles(t *testing.T) {
	still(t, func(t *testing.T, p *async.Pool) {
		const size = 64 << 20
		files := make([]*async.File, 100)
		for i := range files {
			files[i] = async.Wrap(p, core.NewMemory("memory", make([]byte, 100)))
			closedAtEnd(t, files[i])
		}
		large, err := core.NewAnonymous(size, core.Options{})
		check(t, err)
		f := async.Wrap(p, large)
		closedAtEnd(t, f)
		async.RecordHint(f, 0, size, size)
		lost := 0
		for _, small := range files {
			async.RecordHint(small, 0, 100, 100)
		}
		for _, small := range files {
			if !async.HasHint(small, 0, 100) {
				lost++
			}
		}
		for off := int64(0); off < size; off += 64 << 10 {
			if !async.HasHint(f, off, 64<<10) {
				lost++
			}
		}
		if lost > 10 { // both places of a block may be another file's
			t.Errorf("hints lost of %d small files and a large one: got %d, want hardly any", len(files), lost)
		}
	})
}
