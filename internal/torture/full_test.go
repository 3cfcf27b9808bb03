package torture

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// A fullDisk is a disk that is full except for what its ballast leaves.
type fullDisk struct {
	*testing.T
	dir     string
	rnd     *rand.Rand
	pool    *async.Pool
	user    *user    // whose own file is on another disk
	ballast *os.File // takes up the room
	copies  bool     // the file system writes no block in place: overwriting needs room too
	much    int64    // more than the ballast leaves
	seen    tally
}

// holes is the length of the file that has them.
const holes = 8 * mib

// On a disk that is full, creating, growing and copying say so and change
// nothing; stores into holes fault or go well; stores into files that have
// their blocks go well; and everything goes well again when there is room.
func TestDiskFull(t *testing.T) {
	kinds := []string{"ext4", "xfs", "tmpfs"}
	known := must[[]byte](t)(os.ReadFile("/proc/filesystems"))
	if bytes.Contains(known, []byte("\tbtrfs\n")) { // not every kernel has it
		kinds = append(kinds, "btrfs")
	}
	for _, fstype := range kinds {
		t.Run(fstype, func(t *testing.T) {
			testutil.NoLeaks(t)
			t.Setenv("TMPDIR", "/dev/shm") // it is not the machine's own disk that is tested
			d := &fullDisk{T: t, dir: testutil.LoopDisk(t, 16*mib, fstype), rnd: testutil.Rand(t), much: 8 * mib}
			if fstype == "btrfs" { // which may find room that it denied the ballast a moment ago, but not all of it
				d.copies, d.much = true, testutil.MinSize(fstype)
			}
			d.fill()
			b := newBudget(25)
			for b.next() && !t.Failed() {
				d.round()
			}
			d.empty()
			counted(t, "%d rounds: %s", b.rounds.Load(), d.seen.String())
			for _, must := range []string{"Create refused", "Open refused", "growth refused", "CopyTo refused", "stores into holes faulted"} {
				if d.seen.of(must) == 0 {
					t.Errorf("no %s", must)
				}
			}
			healthy(t, d.dir)
		})
	}
}

func (d *fullDisk) fill() {
	d.pool = must[*async.Pool](d)(async.NewPool(async.PoolOptions{}))
	d.user = &user{rnd: d.rnd, buf: make([]byte, 64*kib), file: must[*os.File](d)(os.Create(filepath.Join(d.TempDir(), "user")))}
	d.ballast = must[*os.File](d)(os.Create(filepath.Join(d.dir, "ballast")))
	d.top()
}

// top lets the ballast take what room there is, also what btrfs gives back only
// when it commits.
func (d *fullDisk) top() {
	end := must[int64](d)(d.ballast.Seek(0, io.SeekEnd))
	for before := int64(-1); before != end; {
		before = end
		check(d, unix.Syncfs(int(d.ballast.Fd())))
		end = d.grab(end)
	}
	check(d, d.ballast.Truncate(end)) // a part may have been allocated
}

// grab gives the ballast blocks from end on until there are no more, and
// returns its new end.
func (d *fullDisk) grab(end int64) int64 {
	for n := int64(64 * mib); n >= 4*kib; {
		switch err := unix.Fallocate(int(d.ballast.Fd()), 0, end, n); err {
		case nil:
			end += n
		case unix.ENOSPC:
			n /= 2
		case unix.EINTR:
		default:
			d.Fatal(err)
		}
	}
	return end
}

// leave makes the ballast shorter by up to n bytes.
func (d *fullDisk) leave(n int64) {
	end := must[int64](d)(d.ballast.Seek(0, io.SeekEnd))
	check(d, d.ballast.Truncate(max(0, end-n)))
	check(d, d.ballast.Sync())
}

func (d *fullDisk) empty() {
	check(d, d.ballast.Close())
	check(d, os.Remove(d.ballast.Name()))
	check(d, d.user.file.Close())
	check(d, d.pool.Close())
}

// round does each thing once, with some room left to do half of it.
func (d *fullDisk) round() {
	d.leave(4 * mib)
	name := filepath.Join(d.dir, "file")
	want := pattern(0, mib, byte(d.rnd.Uint32())&^1)
	f := must[*core.File](d)(core.Create(name, mib))
	check(d, second(f.WriteAt(want, 0)))
	check(d, f.Flush())
	sparse := must[*core.File](d)(core.OpenFile(filepath.Join(d.dir, "sparse"),
		core.Options{Access: core.ReadWrite, Create: true, Truncate: true, Sparse: true, Size: holes}))
	d.top()
	d.leave(2*mib + d.rnd.Int64N(mib)) // for a few names and the file system's own books

	d.creations(f)
	d.growth(f, want)
	d.copying(f)
	d.holes(sparse)
	d.overwriting(f)

	check(d, f.Close())
	if err := sparse.Close(); err != nil {
		d.Errorf("closing the sparse file: %v", err)
	}
	check(d, os.Remove(sparse.Name()))
	check(d, os.Remove(name))
}

// refused checks an error for want of room about the file of that name, and
// counts it.
func (d *fullDisk) refused(what, name string, err error) {
	d.Helper()
	var path *fs.PathError
	if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &path) || path.Path != name {
		d.Errorf("%s: got %v, want that there is no room for %s", what, err, name)
	}
	d.seen.add(what+" refused", 1)
}

// creations do not leave the name, and leave files that have it as they were.
func (d *fullDisk) creations(f *core.File) {
	before := d.names()
	name := filepath.Join(d.dir, "created")
	d.refused("Create", name, second(core.Create(name, d.much)))
	old := pattern(0, 1000, 9)
	check(d, os.WriteFile(filepath.Join(d.dir, "old"), old, 0o600))
	name = filepath.Join(d.dir, "old")
	d.refused("Open", name, second(core.OpenFile(name, core.Options{Access: core.ReadWrite, Size: d.much})))
	d.refused("async Open", name, second(async.Open(bg, d.pool, name, core.Options{Access: core.ReadWrite, Size: d.much}).Await(bg)))
	if got := must[[]byte](d)(os.ReadFile(name)); !bytes.Equal(got, old) {
		d.Error("a file that could not be opened for want of room has changed")
	}
	// Holes cannot be given blocks either.
	check(d, os.Truncate(name, d.much))
	d.refused("Open of holes", name, second(core.OpenFile(name, core.Options{Access: core.ReadWrite})))
	if got := must[[]byte](d)(os.ReadFile(name)); !bytes.Equal(got[:1000], old) || int64(len(got)) != d.much {
		d.Error("a file whose holes could not be filled has changed")
	}
	check(d, os.Remove(name))
	if after := d.names(); !slices.Equal(before, after) {
		d.Errorf("the directory had %v and has %v", before, after)
	}
}

// growth leaves length and bytes.
func (d *fullDisk) growth(f *core.File, want []byte) {
	file := async.Wrap(d.pool, f)
	for range 3 {
		d.refused("growth", f.Name(), f.Truncate(mib+d.much))
		d.refused("async growth", f.Name(), file.Truncate(bg, mib+d.much).Wait())
	}
	fi := must[os.FileInfo](d)(f.Stat())
	if f.Len() != mib || fi.Size() != mib {
		d.Errorf("after growth that was refused, %d bytes of %d are mapped; there were %d", f.Len(), fi.Size(), mib)
	}
	if !bytes.Equal(must[[]byte](d)(f.Clone()), want) {
		d.Error("growth that was refused has changed the bytes")
	}
}

// copying leaves the file that has the name, and no other.
func (d *fullDisk) copying(f *core.File) {
	big := must[*core.File](d)(core.OpenFile(d.ballast.Name(), core.Options{Access: core.CopyOnWrite, NoLock: true}))
	old := pattern(0, 1000, 5)
	name := filepath.Join(d.dir, "copy")
	check(d, os.WriteFile(name, old, 0o600))
	before := d.names()
	// Written through memory, as sharing blocks would need no room.
	d.refused("CopyTo", name, big.CopyTo(name, 0, min(big.Len(), d.much)))
	if got := must[[]byte](d)(os.ReadFile(name)); !bytes.Equal(got, old) {
		d.Error("a copy that found no room has changed what had its name")
	}
	if after := d.names(); !slices.Equal(before, after) {
		d.Errorf("the directory had %v and has %v", before, after)
	}
	check(d, big.Close())
	check(d, os.Remove(name))
}

// holes are stored into by all that stores, while there is some room and when
// there is none.
func (d *fullDisk) holes(f *core.File) {
	v := &victim{File: async.Wrap(d.pool, f)}
	for i := range 200 {
		if i == 100 {
			d.top()
		}
		a := accesses[d.rnd.IntN(len(accesses))]
		if !a.stores {
			continue
		}
		switch err := a.do(d.user, v, d.rnd.Int64N(holes-64*kib), d.rnd.Int64N(64*kib)); {
		case err == nil:
			d.seen.add("stores into holes went well", 1)
		case errors.Is(err, core.ErrFault):
			d.seen.add("stores into holes faulted", 1)
		case errors.Is(err, syscall.ENOSPC):
			d.seen.add("stores into holes refused", 1)
		default:
			d.Errorf("%s into holes of a full disk: %v", a.name, err)
		}
	}
	// On tmpfs even a hole that is read needs a page.
	if err := f.View(func(b []byte) error { return v.genuine(b, 0) }); err != nil && !errors.Is(err, core.ErrFault) {
		d.Errorf("reading what was stored, and holes: %v", err)
	}
	if err := f.Flush(); err != nil {
		d.Errorf("flushing what was stored: %v", err)
	}
}

// overwriting stores into bytes that have blocks, which needs no room.
func (d *fullDisk) overwriting(f *core.File) {
	for range 3 {
		err := second(f.WriteAt(pattern(0, mib, byte(d.rnd.Uint32())&^1), 0))
		if err == nil {
			err = f.Flush()
		}
		switch {
		case err == nil:
			d.seen.add("overwritings went well", 1)
		case d.copies && errors.Is(err, core.ErrFault):
			d.seen.add("overwritings faulted", 1)
		default:
			d.Errorf("overwriting allocated blocks of a full disk: %v", err)
		}
	}
}

// names are those in the disk's directory.
func (d *fullDisk) names() (names []string) {
	for _, e := range must[[]os.DirEntry](d)(os.ReadDir(d.dir)) {
		names = append(names, e.Name())
	}
	return names
}
