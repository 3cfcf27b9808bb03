package core_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

func TestAdvice(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		f := b.open(t, pattern(256*KiB, 1))
		for a := core.AdviceNormal; a <= core.AdvicePopulateWrite; a++ {
			if a == core.AdviceDontNeed || a == core.AdviceFree || a == core.AdviceRemove {
				continue // they change bytes
			}
			for _, r := range [][2]int64{{0, 256 * KiB}, {5000, 100}, {0, 0}} {
				err := f.Advise(a, r[0], r[1])
				if err != nil && !errors.Is(err, errors.ErrUnsupported) && !(a == core.AdvicePopulateWrite && errors.Is(err, core.ErrReadOnly)) {
					t.Errorf("advice %d on %v: %v", a, r, err)
				}
			}
		}
		if err := f.Advise(core.AdviceRandom, 0, 256*KiB+1); !errors.Is(err, core.ErrRange) {
			t.Errorf("outside the window: %v", err)
		}
		if err := f.Advise(200, 0, 1); !errors.Is(err, core.ErrRange) {
			t.Errorf("no such advice: %v", err)
		}
		if string(contents(t, f)) != string(pattern(256*KiB, 1)) {
			t.Error("advice changed the bytes")
		}
	})
}

// Advice that loses bytes loses those named and no others, and only where a
// store would be allowed.
func TestAdviceThatLosesBytes(t *testing.T) {
	const off, n = 10_000, 100_000 // not aligned: the pages at its ends are shared with neighbours
	onEach(t, func(t *testing.T, b backend) {
		for _, a := range []core.Advice{core.AdviceDontNeed, core.AdviceFree, core.AdviceRemove} {
			before := pattern(256*KiB, 1)
			f := b.open(t, before)
			want := bytes.Clone(before)
			if b.store == nil {
				_, err := f.WriteAt([]byte("stored"), 50_000)
				check(t, err)
				copy(want[50_000:], "stored")
			}
			err := f.Advise(a, off, n)
			got := contents(t, f)
			switch {
			case err == nil:
				// Whole pages of what may be lost are zero, or what a private
				// mapping was before its stores.
				for i := range got[off : off+n] {
					i += off
					if lost := got[i] == 0 || b.private && got[i] == before[i]; got[i] != want[i] && (!lost || a == core.AdviceDontNeed && b.file && !b.private) {
						t.Fatalf("advice %d left %d at %d, where %d was", a, got[i], i, want[i])
					}
				}
			case a != core.AdviceDontNeed && b.store != nil && !errors.Is(err, core.ErrReadOnly):
				t.Errorf("advice %d, where nothing may be stored: %v", a, err)
			case !bytes.Equal(got, want):
				t.Errorf("advice %d returned %v and changed bytes", a, err)
			}
			if !bytes.Equal(got[:off], want[:off]) || !bytes.Equal(got[off+n:], want[off+n:]) {
				t.Errorf("advice %d changed the bytes beside its range", a)
			}
			check(t, f.Freeze())
			if !errors.Is(f.Advise(core.AdviceRemove, off, n), core.ErrReadOnly) {
				t.Error("a frozen file gave its bytes up")
			}
		}
	})
}

// What is given for the whole window holds for what it grows by, also in
// another region, and also when it is given while the window moves there.
func TestAdviceGoesAlongWithTheWindow(t *testing.T) {
	name := tempFile(t, pattern(64*KiB, 1))
	f := opened(t, name, core.Options{Access: core.ReadWrite, Reserve: 1})
	for _, a := range []core.Advice{core.AdviceDontDump, core.AdviceDoDump, core.AdviceRandom} {
		if err := f.Advise(a, 0, f.Len()); missingHere(err) {
			t.Skip(err)
		} else {
			check(t, err)
		}
	}
	during(t, sys.OpMmap, func() { check(t, f.Advise(core.AdviceDontDump, 0, f.Len())) })
	check(t, f.Truncate(64*MiB))
	for _, v := range vmas(t, name) {
		for _, flag := range []string{" rr ", " dd "} {
			if v.flags != "" && !strings.Contains(v.flags, flag) {
				t.Errorf("a mapping has the flags %q, want %q among them", v.flags, flag)
			}
		}
	}
	check(t, f.Close())
	for range 50 {
		check(t, os.Truncate(name, 64*KiB))
		f := opened(t, name, core.Options{Access: core.ReadWrite, Reserve: 1, Sparse: true})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := f.Truncate(MiB); err != nil {
				t.Error(err)
			}
		})
		check(t, f.Advise(core.AdviceRandom, 0, 64*KiB)) // once the window has grown, it is for a part of it
		wg.Wait()
		if all := vmas(t, name); all[0].flags != "" && !slices.ContainsFunc(all, func(v vma) bool { return strings.Contains(v.flags, " rr ") }) {
			t.Fatalf("nothing is left of the advice: %v", all)
		}
		check(t, f.Close())
	}
}

// Where the kernel has no call for it the pages are brought in by hand, with
// the same outcome.
func TestPopulate(t *testing.T) {
	for _, calls := range [][]sys.Call{nil, {sys.CallPopulate}} {
		t.Run(fmt.Sprintf("without %v", calls), func(t *testing.T) {
			for _, c := range calls {
				defer sys.Disable(c)()
			}
			onEach(t, func(t *testing.T, b backend) {
				want := pattern(256*KiB, 1)
				f := b.open(t, want)
				for _, r := range [][2]int64{{0, 0}, {5000, 1}, {4096, 8192}, {1, 256*KiB - 1}, {256 * KiB, 0}} {
					check(t, f.Populate(r[0], r[1]))
					if pages, of, err := f.Resident(r[0], r[1]); pages != of || err != nil && !errors.Is(err, errors.ErrUnsupported) {
						t.Errorf("%v: %d of %d pages are there, %v", r, pages, of, err)
					}
				}
				if b.store == nil {
					if err := f.Advise(core.AdvicePopulateWrite, 5000, 100_000); err != nil && !errors.Is(err, errors.ErrUnsupported) {
						t.Errorf("for stores: %v", err)
					}
				}
				for _, r := range [][2]int64{{0, 256*KiB + 1}, {-1, 1}, {0, -1}, {1 << 62, 1 << 62}} {
					if err := f.Populate(r[0], r[1]); !errors.Is(err, core.ErrRange) {
						t.Errorf("Populate%v: %v", r, err)
					}
				}
				if !bytes.Equal(contents(t, f), want) {
					t.Error("the bytes changed")
				}
			})
			if sys.ShrinkNeedsUnmap {
				return
			}
			f := shortened(t, core.Options{Access: core.ReadWrite})
			check(t, f.Populate(0, 4*KiB))
			wantFault(t, f, f.Populate(0, MiB), 0, MiB)
			wantFault(t, f, f.Advise(core.AdvicePopulateWrite, 64*KiB, 4*KiB), 64*KiB, 68*KiB)
			p := pinned(t, f, 64*KiB, 4*KiB)
			wantFault(t, f, p.Populate(), 64*KiB, 68*KiB)
		})
	}
}

func TestLockMemory(t *testing.T) {
	name := tempFile(t, pattern(64*KiB, 1))
	f := opened(t, name, core.Options{Access: core.ReadWrite})
	locked := func(want bool) {
		t.Helper()
		if !showsMappings {
			return
		}
		all := vmas(t, name)
		if got := slices.ContainsFunc(all, func(v vma) bool { return strings.Contains(v.flags, " lo ") }); got != want && all[0].flags != "" {
			t.Errorf("locked: %v, want %v: %v", got, want, all)
		}
	}
	check(t, f.LockMemory(5000, 8*KiB))
	check(t, f.LockMemory(100, 0))
	for _, r := range [][2]int64{{0, 64*KiB + 1}, {-1, 1}, {0, -1}, {1 << 62, 1 << 62}} {
		if err := f.LockMemory(r[0], r[1]); !errors.Is(err, core.ErrRange) {
			t.Errorf("LockMemory%v: %v", r, err)
		}
		if err := f.UnlockMemory(r[0], r[1]); !errors.Is(err, core.ErrRange) {
			t.Errorf("UnlockMemory%v: %v", r, err)
		}
	}
	if err := core.NewMemory("m", make([]byte, 10)).LockMemory(0, 10); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("heap memory: %v", err)
	}
	failing(t, sys.OpMlock, 0, syscall.EPERM)
	if err := f.LockMemory(0, 1); !errors.Is(err, syscall.EPERM) {
		t.Errorf("what the system refuses: %v", err)
	}
	failing(t, "", 0, nil)
	locked(true)
	check(t, f.UnlockMemory(5000, 8*KiB))
	locked(false)
}

// Order is what the advice for the whole window says, or random once that was
// given for any part.
func TestOrder(t *testing.T) {
	f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{})
	if err := f.Advise(core.AdviceNormal, 0, f.Len()); missingHere(err) {
		t.Skip(err)
	}
	for _, step := range []struct {
		advice core.Advice
		n      int64
		want   core.Advice
	}{
		{core.AdviceWillNeed, 64 * KiB, core.AdviceNormal},
		{core.AdviceSequential, 32 * KiB, core.AdviceNormal},
		{core.AdviceSequential, 64 * KiB, core.AdviceSequential},
		{core.AdviceNormal, 32 * KiB, core.AdviceSequential},
		{core.AdviceRandom, 32 * KiB, core.AdviceRandom},
		{core.AdviceNormal, 32 * KiB, core.AdviceRandom},
		{core.AdviceNormal, 64 * KiB, core.AdviceNormal},
		{core.AdviceRandom, 64 * KiB, core.AdviceRandom},
	} {
		check(t, f.Advise(step.advice, 0, step.n))
		if got := f.Order(); got != step.want {
			t.Errorf("after advice %d for %d bytes: order %d, want %d", step.advice, step.n, got, step.want)
		}
	}
}
