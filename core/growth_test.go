package core_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// Growing within the reservation keeps the page tables of the old bytes, and
// one kernel mapping: each further one would have a device flush of its own in
// every flush.
func TestGrowingKeepsThePageTables(t *testing.T) {
	needsFiles(t)
	if !sys.CanReserve {
		t.Skip("this platform reserves no address space")
	}
	name := filepath.Join(t.TempDir(), "file")
	f, err := core.Create(name, MiB)
	check(t, err)
	defer f.Close()
	check(t, f.Update(func(b []byte) error {
		for i := range b {
			b[i] = 1
		}
		return nil
	}))
	before := vmas(t, name)
	check(t, f.Truncate(64*MiB))
	_, err = f.WriteAt([]byte("x"), 63*MiB)
	check(t, err)
	after := vmas(t, name)
	if len(before) != 1 || len(after) != 1 {
		t.Fatalf("%d kernel mappings before growing and %d after", len(before), len(after))
	}
	if before[0].resident < MiB || after[0].resident < before[0].resident {
		t.Errorf("%d bytes were mapped in before growing and %d are after", before[0].resident, after[0].resident)
	}
}

// Where the address space is limited, a file is mapped without a reservation,
// and a growth that needs more than there is fails and changes nothing.
func TestAddressSpaceLimit(t *testing.T) {
	testutil.RequireLinux(t, "limit of the address space that a test can set")
	if _, err := testutil.Reexec(t, "cramped", "FILE="+tempFile(t, pattern(64*KiB, 1))).Wait(); err != nil {
		t.Error(err)
	}
}

// growCramped is what the second process of [TestAddressSpaceLimit] does.
func growCramped() error {
	stat, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	pages, err := strconv.Atoi(strings.Fields(string(stat))[0])
	if err != nil {
		return err
	}
	limit := pages*os.Getpagesize() + 512*MiB // less than a reservation takes
	if err := testutil.LimitAddressSpace(uint64(limit)); err != nil {
		return err
	}
	f, err := core.OpenFile(os.Getenv("FILE"), core.Options{Access: core.ReadWrite, Sparse: true})
	if err != nil {
		return err
	}
	p, err := f.Pin(0, 10)
	if err != nil {
		return err
	}
	defer p.Release()
	if err := f.Truncate(4 << 30); !errors.Is(err, core.ErrRange) && // of 32 bits
		(err == nil || !strings.Contains(err.Error(), "cannot allocate memory")) {
		return errors.New("Truncate to 4 GiB did not find too little address space: " + errorText(err))
	}
	fi, err := f.Stat()
	if err != nil || fi.Size() != 64*KiB || f.Len() != 64*KiB || string(p.Bytes()) != string(pattern(10, 1)) {
		return errors.New("the failed Truncate changed something")
	}
	p.Release()
	if err := f.Truncate(MiB); err != nil { // what there is room for
		return err
	}
	return f.Close()
}

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// No descriptor, mapping or lock is left behind, whatever was done to the file
// and in whatever state it was closed.
func TestNothingIsLeftBehind(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		testutil.NoLeaks(t)
		for range 3 {
			f := b.open(t, pattern(100*KiB, 1))
			p, q := pinned(t, f, 0, 10), pinned(t, f, 50*KiB, 10)
			if b.resize == nil {
				if everyPinBlocks(f) || !b.file {
					p.Release()
					q.Release()
				}
				check(t, f.Truncate(sizeOf(t, f, 4*MiB)))
			}
			_ = f.CopyTo(filepath.Join(t.TempDir(), "copy"), 0, 10)
			_ = f.Flush()
			_ = f.Remove()
			c, err := f.StartClose(nil)
			check(t, err)
			p.Release()
			c.Detach()
			q.Release()
			check(t, c.Finish())
		}
		for _, op := range []sys.Op{sys.OpMmap, sys.OpMadvise, sys.OpFallocate, sys.OpTruncate, sys.OpFlock} { // what fails leaves nothing either
			failing(t, op, 0, syscall.EIO)
			f, err := core.OpenFile(filepath.Join(t.TempDir(), "new"), core.Options{
				Access: core.ReadWrite, Create: true, Size: 10_000, Populate: true, RemoveOnClose: true,
			})
			failing(t, "", 0, nil)
			if err == nil {
				check(t, f.Close())
			}
		}
	})
}
