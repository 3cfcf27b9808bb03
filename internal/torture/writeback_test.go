package torture

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// A failing is a file system on a disk that can be told to fail.
type failing struct {
	*disk.Disk
	t      *testing.T
	fstype string
	dir    string
	pool   *async.Pool
	rnd    *rand.Rand
	files  int
}

// onFailing runs a test on each file system.
func onFailing(t *testing.T, test func(t *testing.T, d *failing)) {
	for _, fstype := range []string{"ext4", "xfs"} {
		t.Run(fstype, func(t *testing.T) {
			needs(t, fstype)
			testutil.NoLeaks(t)
			d := &failing{Disk: disk.Start(t, max(64*mib, testutil.MinSize(fstype))), t: t, fstype: fstype, rnd: testutil.Rand(t)}
			d.dir = must[string](t)(d.Mount(fstype))
			d.pool = must[*async.Pool](t)(async.NewPool(async.PoolOptions{}))
			defer func() { check(t, d.pool.Close()) }()
			test(t, d)
		})
	}
}

// pages is how many a subject has.
const pages = 16

// file makes a durable file of pages with one salt.
func (d *failing) file(salt byte) (name string, salts []byte) {
	d.t.Helper()
	d.files++
	name = filepath.Join(d.dir, fmt.Sprint("subject-", d.files))
	salts = bytes.Repeat([]byte{salt}, pages)
	f := must[*os.File](d.t)(os.Create(name))
	for off, b := int64(0), saltedPages(salts); off < int64(len(b)); off += pageSize {
		check(d.t, second(f.WriteAt(b[off:off+pageSize], off))) // each page by itself in the page cache too
	}
	check(d.t, f.Sync())
	check(d.t, f.Close())
	check(d.t, core.SyncDir(d.dir))
	return name, salts
}

// failData makes writes of the file's bytes fail, and of nothing else.
func (d *failing) failData(name string) {
	d.t.Helper()
	d.failAt(d.extents(name))
}

// extents are where the bytes of a file are, which is synced.
func (d *failing) extents(name string) []disk.Extent {
	d.t.Helper()
	extents := must[[]disk.Extent](d.t)(disk.Extents(name))
	if len(extents) == 0 {
		d.t.Fatal("the file has no blocks")
	}
	return extents
}

func (d *failing) failAt(extents []disk.Extent) {
	d.t.Helper()
	for _, e := range extents {
		check(d.t, d.Fail(disk.Fault{Op: disk.Write, Off: e.Device, Len: e.Len}))
	}
}

// failed is how many operations of the disk have failed.
func (d *failing) failed() int64 { return must[disk.Stats](d.t)(d.Stats()).Failed }

// cut cuts the power now, and checks what the files hold then.
func (d *failing) cut(want map[string][]byte) {
	d.t.Helper()
	c := must[*disk.Cutter](d.t)(d.NewCutter())
	defer func() { check(d.t, c.Close()) }()
	err := c.Check(c.Len(), d.rnd.Uint64(), d.fstype, func(dir string) (err error) {
		for name, b := range want {
			got, there, rerr := contents(filepath.Join(dir, filepath.Base(name)))
			if rerr == nil && !bytes.Equal(got, b) {
				rerr = fmt.Errorf("%s: %s, want %d other bytes", filepath.Base(name), describe(got, there), len(b))
			}
			err = errors.Join(err, rerr)
		}
		return err
	})
	if err != nil {
		d.t.Error(err)
	}
}

// The disk fails to write bytes of a file, or to flush its cache. The first flush
// that meets the failure returns it, and from then on every flush does, in
// whatever way, although disk and kernel work again. Reading and copying go on. A
// file that is opened again can be flushed, and what is stored again is durable.
func TestFailedWriteBack(t *testing.T) {
	onFailing(t, func(t *testing.T, d *failing) {
		want := map[string][]byte{}
		rounds := 0
		for i, w := range ways {
			for _, op := range []disk.Op{disk.Write, disk.Flush} {
				t.Run(fmt.Sprintf("%s fails to %s", w.name, op), func(t *testing.T) {
					name, salts := d.file(byte(2 * i))
					s := must[*subject](t)(newSubject(d.pool, name, false))
					check(t, w.flush(s, 2))
					if op == disk.Write {
						d.failData(name)
					} else {
						check(t, d.Fail(disk.Fault{Op: disk.Flush, Times: 1}))
					}
					salts[2] += 100
					check(t, s.store(2, salts[2]))
					if err := isFailed(w.flush(s, 2)); err != nil {
						t.Errorf("%s: %v", w.name, err)
					}
					check(t, d.Heal())
					check(t, s.allFail())
					check(t, s.reads(salts))
					check(t, s.file.CopyTo(bg, name+".copy", 0, s.file.Core().Len()).Wait())
					want[name+".copy"] = saltedPages(salts)
					if b := must[[]byte](t)(os.ReadFile(name + ".copy")); !bytes.Equal(b, saltedPages(salts)) {
						t.Error("the copy holds other bytes than the file")
					}
					check(t, s.store(3, salts[3]))
					check(t, s.allFail())
					check(t, s.end())

					s = must[*subject](t)(newSubject(d.pool, name, false))
					check(t, s.reads(salts)) // from memory: what is on the disk is another question
					check(t, s.store(2, salts[2]))
					for _, w := range ways {
						check(t, w.flush(s, 2))
					}
					want[name] = saltedPages(salts)
					check(t, s.close())
					rounds++
				})
			}
		}
		d.cut(want)
		counted(t, "%d failures, each met by another way first, and then by all %d", rounds, len(ways))
	})
}

// All members of a flush learn that it failed, and so do those of the batch
// gathered behind it, which never began.
func TestBatchMatesShareAFailure(t *testing.T) {
	onFailing(t, func(t *testing.T, d *failing) {
		for _, op := range []disk.Op{disk.Write, disk.Flush} {
			t.Run("held at "+string(op), func(t *testing.T) {
				name, _ := d.file(1)
				extents := d.extents(name)
				s := must[*subject](t)(newSubject(d.pool, name, false))
				for page := range int64(pages) {
					check(t, s.store(page, 3)) // now, as making a page dirty may need the disk
				}
				// While the first flush waits in the disk, the next gathers.
				// Held at its writing, the first will fail; held after that,
				// the next will.
				check(t, d.Hold(op, true))
				first := s.file.FlushRange(0, 1)
				testutil.WaitUntil(t, "the disk holds the first flush", func() bool { return must[disk.Stats](t)(d.Stats()).Held > 0 })
				d.failAt(extents)
				var mates []*async.Future[struct{}]
				for i := range int64(200) {
					page := 1 + i%(pages-1)
					check(t, s.store(page, 5))
					mates = append(mates, s.file.FlushRange(page*pageSize, pageSize), s.file.Flush(), s.back.Barrier())
				}
				check(t, d.Hold(op, false))
				err := first.Wait()
				if op == disk.Write || err != nil {
					check(t, isFailed(err))
				}
				for _, f := range mates {
					check(t, isFailed(f.Wait()))
				}
				check(t, d.Heal())
				check(t, isFailed(s.steady.Barrier().Wait(bg)))
				check(t, s.allFail())
				check(t, s.end())
				counted(t, "%d mates heard of it", len(mates))
			})
		}
	})
}

// Nothing swallows an error that the kernel has met by itself: write-back that
// was begun as a hint, another descriptor of the file, a copy. The kernel gives
// it to the next flush, whatever that covers, and to no later one.
func TestWriteBackThatFailsUnseen(t *testing.T) {
	onFailing(t, func(t *testing.T, d *failing) {
		rounds := 0
		for _, tt := range []struct {
			name string
			see  func(s *subject, other *os.File) error // what comes between the failure and the flush
			then way
		}{
			{"then its own range", nothing, ways[1]},
			{"then another range", nothing, way{"", false, func(s *subject, _ int64) error { return s.file.Core().FlushRange(9*pageSize, 1) }}},
			{"then all", nothing, ways[0]},
			{"after another descriptor was told", func(_ *subject, other *os.File) error {
				if err := unix.Fdatasync(int(other.Fd())); !errors.Is(err, unix.EIO) {
					return fmt.Errorf("the other descriptor was told %v", err)
				}
				return nil
			}, ways[1]},
			{"after more write-back", func(s *subject, _ *os.File) error {
				return errors.Join(s.store(2, 7), s.file.Core().StartWriteback(0, pages*pageSize))
			}, ways[4]},
			{"after a copy", func(s *subject, _ *os.File) error {
				return s.file.Core().CopyTo(s.file.Core().Name()+".copy", 0, pages*pageSize)
			}, ways[4]},
			{"after two copies", func(s *subject, _ *os.File) error {
				name := s.file.Core().Name()
				return errors.Join(s.file.Core().CopyTo(name+".copy1", 0, pages*pageSize), s.file.Core().CopyTo(name+".copy", 0, pages*pageSize))
			}, ways[6]},
			{"after a file was opened beside it", func(s *subject, _ *os.File) error {
				f, err := core.OpenFile(s.file.Core().Name(), core.Options{Access: core.ReadWrite, NoLock: true})
				if err != nil {
					return err
				}
				return errors.Join(second(f.Clone()), f.Close())
			}, ways[1]},
		} {
			t.Run(tt.name, func(t *testing.T) {
				name, salts := d.file(1)
				s := must[*subject](t)(newSubject(d.pool, name, false))
				other := must[*os.File](t)(os.OpenFile(name, os.O_RDWR, 0))
				defer other.Close()
				waiter := must[*os.File](t)(os.OpenFile(name, os.O_RDWR, 0))
				defer waiter.Close()
				d.failData(name)
				before := d.failed()
				salts[2] = 7
				check(t, s.store(2, salts[2]))
				check(t, s.file.Core().StartWriteback(2*pageSize, pageSize))
				// This file's own report is taken, no other's.
				if err := unix.SyncFileRange(int(waiter.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE); !errors.Is(err, unix.EIO) || d.failed() == before {
					t.Fatalf("write-back ended with %v", err)
				}
				check(t, d.Heal())
				check(t, tt.see(s, other))
				if err := isFailed(tt.then.flush(s, 2)); err != nil {
					t.Error(err)
				}
				check(t, s.allFail())
				check(t, s.reads(salts))
				if b, err := os.ReadFile(name + ".copy"); err == nil {
					if !bytes.Equal(b, saltedPages(salts)) {
						t.Error("the copy holds other bytes than the file")
					}
					d.cut(map[string][]byte{name + ".copy": saltedPages(salts)})
				}
				check(t, s.end())
				rounds++
			})
		}
		counted(t, "%d unseen failures", rounds)
	})
}

func nothing(*subject, *os.File) error { return nil }

// A copy that meets the failing write-back of its source either fails, and
// leaves nothing, or holds what the file holds. The file knows of the failure
// afterwards.
func TestCopyMeetsFailedWriteBack(t *testing.T) {
	onFailing(t, func(t *testing.T, d *failing) {
		outcomes := tally{}
		for _, asked := range [][2]int64{{0, pages * pageSize}, {2 * pageSize, pageSize}, {100, 3 * pageSize}} {
			name, salts := d.file(1)
			s := must[*subject](t)(newSubject(d.pool, name, false))
			d.failData(name)
			before := d.failed()
			salts[2] = 9
			check(t, s.store(2, salts[2]))
			want := saltedPages(salts)[asked[0] : asked[0]+asked[1]]
			durable := map[string][]byte{}
			for i := range 3 {
				to := fmt.Sprintf("%s.copy%d", name, i)
				err := s.file.CopyTo(bg, to, asked[0], asked[1]).Wait()
				if i == 1 {
					check(t, d.Heal())
				}
				got, there, rerr := contents(to)
				check(t, rerr)
				switch {
				case err != nil && there:
					t.Errorf("a copy that failed (%v) is there", err)
				case err == nil && !bytes.Equal(got, want):
					t.Errorf("copy %d of %v holds other bytes than the file", i, asked)
				}
				if err == nil {
					durable[to] = want
				}
				outcomes.add(map[bool]string{true: "copied", false: "failed"}[err == nil], 1)
			}
			d.cut(durable)
			if d.failed() == before { // the copy was made in memory, and the source was not written
				check(t, s.file.Flush().Wait())
				check(t, s.close())
				continue
			}
			if err := isFailed(s.file.Flush().Wait()); err != nil {
				t.Error(err)
			}
			check(t, s.allFail())
			check(t, s.end())
		}
		names := must[[]os.DirEntry](t)(os.ReadDir(d.dir))
		if i := slices.IndexFunc(names, func(e os.DirEntry) bool { return e.Name()[0] == '.' }); i >= 0 {
			t.Errorf("left behind: %s", names[i].Name())
		}
		counted(t, "%s", &outcomes)
	})
}
