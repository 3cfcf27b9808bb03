package torture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

const (
	togetherFileEnv  = "FMMAP_TORTURE_FILE"  // what the storing processes share
	togetherIndexEnv = "FMMAP_TORTURE_INDEX" // which of them this one is

	together       = 3 // processes
	togetherStores = 4000
	togetherAdds   = 150
	togetherUnit   = 64
	togetherSize   = 256 * kib
	togetherCount  = togetherSize // where the counter is, in a page of its own
)

// togetherPlan calls store for each store of one process, in order. Each process
// has every third unit, so that all of them store to the same pages.
func togetherPlan(index int, store func(off int64, p []byte, via core.Via) error) error {
	rnd := rand.New(rand.NewPCG(16, uint64(index)))
	for range togetherStores {
		unit := rnd.IntN(togetherSize/togetherUnit/together)*together + index
		from := rnd.IntN(togetherUnit)
		p := make([]byte, 1+rnd.IntN(togetherUnit-from))
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		if err := store(int64(unit*togetherUnit+from), p, core.Via(rnd.IntN(3))); err != nil {
			return err
		}
	}
	return nil
}

// Processes store to the same pages of one file, by system calls and through the
// mapping in turns, and flush some of it. Each sees its own stores in order, by
// whatever way they were made; a counter that they increment under a lock loses
// no step; and in the end the file is what the model of all stores is.
func TestProcessesStoreTogether(t *testing.T) {
	testutil.NoLeaks(t)
	for _, fstype := range []string{"ext4", "xfs", "btrfs", "tmpfs"} {
		t.Run(fstype, func(t *testing.T) {
			name := filepath.Join(testutil.LoopDisk(t, 16*mib, fstype), "file")
			model := pattern(0, togetherSize+4*kib, 5)
			clear(model[togetherCount:])
			check(t, os.WriteFile(name, model, 0o600))
			var all []*testutil.Process
			for i := range together {
				all = append(all, testutil.Reexec(t, "together", togetherFileEnv+"="+name, togetherIndexEnv+"="+strconv.Itoa(i)))
			}
			for _, p := range all {
				if line := p.Hear(); line != "ready" {
					t.Fatalf("a process says %q", line)
				}
			}
			for _, p := range all {
				p.Say("begin")
			}
			for i, p := range all {
				if _, err := p.Wait(); err != nil {
					t.Fatal(err)
				}
				check(t, togetherPlan(i, func(off int64, b []byte, _ core.Via) error {
					copy(model[off:], b)
					return nil
				}))
			}
			binary.LittleEndian.PutUint64(model[togetherCount:], together*togetherAdds)
			if got := must[[]byte](t)(os.ReadFile(name)); !bytes.Equal(got, model) {
				t.Errorf("the file has %d bytes, want %d; its counter is %d; stores equal the model's: %t", len(got), len(model),
					binary.LittleEndian.Uint64(got[togetherCount:]), bytes.Equal(got[:togetherSize], model[:togetherSize]))
			}
			counted(t, "%d stores and %d locked increments of %d processes", together*togetherStores, together*togetherAdds, together)
		})
	}
}

// storeTogether is one of the processes of TestProcessesStoreTogether.
func storeTogether() (err error) {
	name := os.Getenv(togetherFileEnv)
	index, err := strconv.Atoi(os.Getenv(togetherIndexEnv))
	if err != nil {
		return err
	}
	var files [3]*core.File // by core.Via
	for via := range files {
		f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, NoLock: true, Stores: core.Via(via)})
		if err != nil {
			return err
		}
		defer f.Close()
		files[via] = f
	}
	guarded, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer guarded.Close()
	counter := lock.New(guarded).Range(togetherCount, 8)
	testutil.Say("ready")
	testutil.Hear()

	last := map[int64]byte{} // what this process stored last, by offset
	n := 0
	return togetherPlan(index, func(off int64, p []byte, via core.Via) error {
		f := files[via]
		if _, err := f.WriteAt(p, off); err != nil {
			return err
		}
		for i, b := range p {
			last[off+int64(i)] = b
		}
		start := off / togetherUnit * togetherUnit
		for as, g := range files { // the three maps of the process, and a system call
			if err := seenIn(g, last, start); err != nil {
				return fmt.Errorf("stored via %v and read by a file of %v: %w", via, core.Via(as), err)
			}
		}
		if err := seenIn(guarded, last, start); err != nil {
			return fmt.Errorf("stored via %v and read by a system call: %w", via, err)
		}
		n++
		if n%100 == 0 {
			if err := f.FlushRange(start, togetherUnit); err != nil {
				return err
			}
		}
		if n%(togetherStores/togetherAdds) != 0 || n/(togetherStores/togetherAdds) > togetherAdds {
			return nil
		}
		if err := counter.Acquire(bg, lock.Exclusive); err != nil {
			return err
		}
		count, err := core.Get[uint64](files[(via+1)%3], togetherCount, binary.LittleEndian)
		if err == nil {
			err = core.Put(f, togetherCount, binary.LittleEndian, count+1)
		}
		return errors.Join(err, counter.Release())
	})
}

// seenIn checks that the unit at start has what the process stored there.
func seenIn(r io.ReaderAt, stored map[int64]byte, start int64) error {
	var got [togetherUnit]byte
	if _, err := r.ReadAt(got[:], start); err != nil {
		return err
	}
	for i, b := range got {
		if want, ok := stored[start+int64(i)]; ok && b != want {
			return fmt.Errorf("byte %d is %#x, and %#x was stored last", start+int64(i), b, want)
		}
	}
	return nil
}

// Another process, which does not mind the lock, cuts the file and lets it grow
// under writers. Stores succeed or are faults, and the file is never longer than
// that process has made it before; where no store is a system call, it always
// has the length that it was given last. A system call under way may undo a cut,
// and those that begin later do not: many cuts last, and without the look at the
// length none does.
func TestNeighbourResizesUnderWriters(t *testing.T) {
	testutil.NoLeaks(t)
	for _, fstype := range []string{"ext4", "xfs"} {
		for _, via := range []core.Via{core.ViaEither, core.ViaMap, core.ViaCall} {
			t.Run(fmt.Sprint(fstype, " ", via), func(t *testing.T) {
				name := filepath.Join(testutil.LoopDisk(t, 64*mib, fstype), "file")
				check(t, os.WriteFile(name, pattern(0, mib, 1), 0o600))
				f := must[*core.File](t)(core.OpenFile(name, core.Options{Access: core.ReadWrite, Stores: via}))
				defer func() { check(t, f.Close()) }()
				p := testutil.Reexec(t, "resizer", togetherFileEnv+"="+name)
				var stop atomic.Bool
				var stored, faults atomic.Int64
				cuts, lasting := 0, 0
				var writers sync.WaitGroup
				defer writers.Wait()
				defer stop.Store(true)
				for w := range 4 {
					writers.Go(func() {
						rnd := rand.New(rand.NewPCG(16, uint64(w)))
						for n := 1; !stop.Load(); n++ {
							if n%200 == 0 { // or all pages become hot, and are stored to through the map
								if err := f.Flush(); err != nil {
									t.Error(err)
									return
								}
							}
							switch err := second(f.WriteAt([]byte("stored"), rnd.Int64N(mib-6))); {
							case err == nil:
								stored.Add(1)
							case errors.Is(err, core.ErrFault):
								faults.Add(1)
							default:
								t.Error(err)
								return
							}
						}
					})
				}
				for i := 0; i < 100 || i < 300 && (stored.Load() == 0 || faults.Load() == 0) && !t.Failed(); i++ {
					size := int64(8 * kib)
					if i%2 == 1 {
						size = mib
					}
					p.Say("%d", size)
					if line := p.Hear(); line != "done" {
						t.Fatalf("the other process says %q", line)
					}
					if size < mib { // so that the stores under way are over
						for before := stored.Load() + faults.Load(); stored.Load()+faults.Load() < before+100 && !t.Failed(); {
							runtime.Gosched()
						}
						cuts++
					}
					now := must[os.FileInfo](t)(os.Stat(name)).Size()
					if size < mib && now == size {
						lasting++
					}
					if now > mib || via == core.ViaMap && now != size {
						t.Fatalf("the file has %d bytes and was given %d", now, size)
					}
				}
				stop.Store(true)
				writers.Wait()
				if _, err := p.Wait(); err != nil {
					t.Error(err)
				}
				if stored.Load() == 0 || faults.Load() == 0 {
					t.Errorf("%d stored, %d faults", stored.Load(), faults.Load())
				}
				if 8*lasting < cuts {
					t.Errorf("%d of %d cuts were undone by a store", cuts-lasting, cuts)
				}
				counted(t, "%d stored, %d faults, %d of %d cuts lasted", stored.Load(), faults.Load(), lasting, cuts)
			})
		}
	}
}

// resize gives the file the lengths that it hears of.
func resize() error {
	for {
		line, ok := testutil.Hear()
		if !ok {
			return nil
		}
		size, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return err
		}
		if err := os.Truncate(os.Getenv(togetherFileEnv), size); err != nil {
			return err
		}
		testutil.Say("done")
	}
}
