package core_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// A file system that has shut down reads nothing by system call, not even what is
// in memory. That is read all the same, by whatever way. What is not in memory is a
// fault, unless the file system brings it into a mapping still.
func TestReadsAfterAShutdown(t *testing.T) {
	for _, fstype := range []string{"xfs", "ext4"} {
		t.Run(fstype, func(t *testing.T) {
			dir := testutil.LoopDisk(t, 64*MiB, fstype)
			const size, in = 8 * MiB, 256 * KiB
			want := pattern(size, 1)
			files := map[core.Via]*core.File{}
			for _, via := range []core.Via{core.ViaEither, core.ViaMap, core.ViaCall} {
				name := filepath.Join(dir, fmt.Sprint(via))
				check(t, os.WriteFile(name, want, 0o600))
				testutil.Cold(t, name)
				files[via] = opened(t, name, core.Options{Reads: via})
				check(t, files[via].Populate(0, in))
			}
			testutil.ShutDown(t, dir)
			core.EndSeenEpoch() // once would leave that a look will do
			core.EndSeenEpoch()
			for via, f := range files {
				for what, read := range copyingReads {
					if got, err := read(f, 9000); err != nil || !bytes.Equal(got, want[9000:9008]) {
						t.Errorf("%v, %s: %q, %v", via, what, got, err)
					}
					got, err := read(f, size-100)
					if err == nil { // ext4 brings pages in still
						if !bytes.Equal(got, want[size-100:size-92]) {
							t.Errorf("%v, %s: other bytes of what was not in memory", via, what)
						}
						continue
					}
					wantFault(t, f, err, size-108, size)
					if via != core.ViaMap && !errors.Is(err, syscall.EIO) {
						t.Errorf("%v, %s: %v does not wrap %v", via, what, err, syscall.EIO)
					}
				}
				b := make([]byte, in)
				if n, err := f.ReadAt(b, 0); n != in || err != nil || !bytes.Equal(b, want[:in]) {
					t.Errorf("%v: %d of %d bytes, %v, or other ones", via, n, in, err)
				}
			}
		})
	}
}
