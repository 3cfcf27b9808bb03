package torture

import (
	"path/filepath"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// A file that is written ahead has no unwritten extents, neither after opening
// nor after growing, and one that is not has.
func TestWrittenAhead(t *testing.T) {
	for _, fstype := range []string{"ext4", "xfs"} {
		for _, ahead := range []bool{true, false} {
			t.Run(filepath.Join(fstype, map[bool]string{true: "ahead", false: "not ahead"}[ahead]), func(t *testing.T) {
				name := filepath.Join(testutil.LoopDisk(t, 64*mib, fstype), "file")
				f := must[*core.File](t)(core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: mib + 100, WrittenAhead: ahead}))
				defer func() { check(t, f.Close()) }()
				for _, size := range []int64{mib + 100, 3*mib + 5} {
					check(t, f.Truncate(size))
					unwritten := false
					for _, e := range must[[]disk.Extent](t)(disk.Extents(name)) {
						unwritten = unwritten || e.Unwritten && e.Off < size
					}
					if unwritten == ahead {
						t.Errorf("with %d bytes, there are unwritten extents: %t", size, unwritten)
					}
				}
			})
		}
	}
}
