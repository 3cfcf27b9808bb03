package torture

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// While a device takes seconds to respond, copying reads of core wait for it, and
// with a single processor other goroutines and the garbage collector go on: by a
// read where that is right, and elsewhere by a call that brings the pages in.
func TestReadsOfASlowDisk(t *testing.T) {
	reads := []func(f *core.File, off int64) ([]byte, error){
		func(f *core.File, off int64) ([]byte, error) {
			b := make([]byte, 8)
			return b, second(f.ReadAt(b, off))
		},
		func(f *core.File, off int64) ([]byte, error) {
			v, err := core.Get[uint64](f, off, binary.LittleEndian)
			return binary.LittleEndian.AppendUint64(nil, v), err
		},
		func(f *core.File, off int64) ([]byte, error) {
			v := make([]uint32, 2)
			err := core.GetSlice(f, off, binary.BigEndian, v)
			return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, v[0]), v[1]), err
		},
		func(f *core.File, off int64) ([]byte, error) {
			r, err := f.NewReader(off, 8)
			if err != nil {
				return nil, err
			}
			v, err := core.Next[uint64](r, binary.LittleEndian)
			return binary.LittleEndian.AppendUint64(nil, v), err
		},
		func(f *core.File, off int64) ([]byte, error) {
			r, err := f.NewReader(off, 8)
			if err != nil {
				return nil, err
			}
			var b bytes.Buffer
			_, err = io.Copy(&b, r)
			return b.Bytes(), err
		},
	}
	for name, o := range map[string]core.Options{"read": {}, "brought in": {Access: core.CopyOnWrite}} {
		t.Run(name, func(t *testing.T) {
			d := disk.Start(t, 64*mib)
			dir := must[string](t)(d.Mount("ext4"))
			path := filepath.Join(dir, "file")
			want := pattern(0, 8*mib, 1)
			check(t, os.WriteFile(path, want, 0o600))
			testutil.Cold(t, path)
			f := must[*core.File](t)(core.OpenFile(path, o))
			defer func() { check(t, f.Close()) }()
			_ = f.Advise(core.AdviceRandom, 0, f.Len())

			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			check(t, d.Delay(disk.Read, 3*time.Second))
			var started, ended atomic.Int64
			var wg sync.WaitGroup
			for i, read := range reads {
				off := int64(i)*mib + 100
				wg.Go(func() {
					started.Add(1)
					got, err := read(f, off)
					ended.Add(1)
					if err != nil || !bytes.Equal(got, want[off:off+8]) {
						t.Errorf("read %d: %q, %v, want %q", i, got, err, want[off:off+8])
					}
				})
			}
			for started.Load() < int64(len(reads)) {
				runtime.Gosched()
			}
			for range 3 {
				runtime.GC()
			}
			if n := ended.Load(); n > 0 {
				t.Errorf("the process was held up until %d reads had ended", n)
			}
			check(t, d.Delay(disk.Read, 0))
			wg.Wait()
		})
	}
}
