package core_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

func TestFreezeWaitsForOlderPinsAndRefusesStores(t *testing.T) {
	for _, b := range resizable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := b.open(t, pattern(64*KiB, 10), MiB)
				p := pinned(t, f, 0, 10)
				done := make(chan error, 1)
				go func() { done <- f.Freeze() }()
				synctest.Wait()
				if err := f.Update(func([]byte) error { return nil }); !errors.Is(err, core.ErrReadOnly) {
					t.Errorf("Update while freezing: %v", err)
				}
				q := pinned(t, f, 0, 10)
				copy(p.Bytes(), "last") // still allowed
				select {
				case err := <-done:
					t.Fatalf("froze under an older pin: %v", err)
				default:
				}
				p.Release()
				check(t, <-done)
				if err := f.Truncate(1); !errors.Is(err, core.ErrReadOnly) {
					t.Errorf("Truncate of a frozen file: %v", err)
				}
				if b.name != "memory" && sys.MapsFiles {
					err := q.Do(func(v []byte) error { v[0] = 1; return nil })
					if !errors.Is(err, core.ErrFault) {
						t.Errorf("a store into frozen memory: %v", err)
					}
				}
				if string(q.Bytes()[:4]) != "last" {
					t.Error("the last store is gone")
				}
				q.Release()
				check(t, f.Flush())
			})
		})
	}
}

// A frozen file may still be made longer by others, and move to another region
// then: it is as frozen there.
func TestFrozenMemoryStaysSoInAnotherRegion(t *testing.T) {
	needsCutting(t)
	for _, a := range []core.Access{core.ReadWrite, core.CopyOnWrite} {
		name := tempFile(t, nil)
		failing(t, sys.OpMmap, 0, syscall.EIO) // an empty window can do without; and so it has no room
		f := opened(t, name, core.Options{Access: a, Reserve: 1})
		failing(t, "", 0, nil)
		check(t, f.Freeze())
		for n := int64(10); n <= 4*MiB; n *= 16 {
			check(t, os.Truncate(name, n))
			if got, err := f.Refresh(); a == core.CopyOnWrite && errors.Is(err, errors.ErrUnsupported) {
				break
			} else if got != n || err != nil {
				t.Fatalf("%v: Refresh: %d, %v", a, got, err)
			}
			p := pinned(t, f, 0, 10)
			if err := p.Do(func(b []byte) error { b[0] = 1; return nil }); !errors.Is(err, core.ErrFault) {
				t.Errorf("%v: a store into the frozen memory of %d bytes: %v", a, n, err)
			}
			p.Release()
		}
	}
}

// A freeze that the system refuses leaves the file as it was.
func TestFreezeThatFails(t *testing.T) {
	f := opened(t, tempFile(t, pattern(KiB, 1)), core.Options{Access: core.ReadWrite})
	failing(t, sys.OpMprotect, 0, syscall.EACCES)
	for what, err := range map[string]error{"Freeze": f.Freeze(), "FreezeExec": f.FreezeExec()} {
		if !errors.Is(err, syscall.EACCES) && (what == "Freeze" || freezesExec(f)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	failing(t, "", 0, nil)
	_, err := f.WriteAt([]byte("x"), 0)
	check(t, err)
	check(t, f.Truncate(10))
}

// Executable bytes can be read, and stay what they are.
func TestFreezeExec(t *testing.T) {
	f := opened(t, tempFile(t, pattern(KiB, 1)), core.Options{Access: core.ReadWrite})
	err := f.FreezeExec()
	if !freezesExec(f) {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v, want ErrUnsupported", err)
		}
		_, err := f.WriteAt([]byte("x"), 0) // it is no more frozen than before
		check(t, err)
		return
	}
	check(t, err)
	if got := contents(t, f); string(got) != string(pattern(KiB, 1)) {
		t.Error("the bytes changed")
	}
	if err := pinned(t, f, 0, 1).Do(func(b []byte) error { b[0] = 1; return nil }); !errors.Is(err, core.ErrFault) {
		t.Errorf("a store: %v", err)
	}
	if !showsMappings {
		return
	}
	for _, v := range vmas(t, f.Name()) {
		if v.flags != "" && (!strings.Contains(v.flags, " ex ") || strings.Contains(v.flags, " wr ")) {
			t.Errorf("the memory has the flags %q", v.flags)
		}
	}
}
