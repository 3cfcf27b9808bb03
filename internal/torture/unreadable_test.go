package torture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// Each kind of access meets a disk that can read nothing of the file: it
// returns a fault, and goes well once the disk does.
func TestUnreadable(t *testing.T) {
	testutil.NoLeaks(t)
	s := newStorm(t, "failing")
	check(t, s.replace())
	check(t, s.reopen())
	u := &user{attack: s, buf: make([]byte, full/4), file: must[*os.File](t)(os.Create(s.dir + "/user"))}
	refused := 0
	for _, a := range accesses {
		v := s.now.Load()
		all := func() bool { return true }
		if !a.faults { // what it is asked for needs no bytes of the file
			continue
		}
		// Places that end within pages: whole ones need no reading to be
		// overwritten.
		const off, n = 3*4096 + 100, full/4 - 8
		check(t, s.unreadable(t, v, all))
		err := a.do(u, v, off, n)
		var fault *core.FaultError
		switch {
		case !errors.As(err, &fault) || !errors.Is(err, core.ErrFault):
			t.Errorf("%s of what cannot be read: %v (%T), want a fault", a.name, err, err)
		case fault.Offset < 0 || fault.Offset >= full:
			t.Errorf("%s of what cannot be read: %v, which is outside the file", a.name, err)
		default:
			refused++
		}
		check(t, s.disk.Heal())
		if err := a.do(u, v, off, n); err != nil {
			t.Errorf("%s once the disk reads again: %v", a.name, err)
		}
	}
	counted(t, "%d kinds of access returned a fault", refused)
	check(t, u.file.Close())
	s.end(t)
	healthy(t, s.dir)
}

// unreadable makes the victim whole, and those of its extents that which
// chooses unreadable.
func (s *attack) unreadable(t *testing.T, v *victim, which func() bool) error {
	if err := second(v.hand.WriteAt(pattern(0, full, v.salt), 0)); err != nil {
		return err
	}
	if err := second(v.Core().Refresh()); err != nil {
		return err
	}
	// Mapped pages stay in memory: they are let go first, and users take some
	// up again at once.
	if err := v.Advise(bg, core.AdviceDontNeed, 0, full).Wait(); err != nil && !errors.Is(err, core.ErrRange) {
		return err
	}
	path := fmt.Sprintf("/proc/self/fd/%d", v.hand.Fd()) // whatever the name means
	testutil.Cold(t, path)
	extents, err := disk.Extents(path)
	for _, e := range extents {
		if err == nil && which() {
			err = s.disk.Fail(disk.Fault{Op: disk.Read, Off: e.Device, Len: e.Len})
		}
	}
	return err
}

// some chooses all, or each with a chance of one in two.
func some(rnd *rand.Rand) func() bool {
	all := rnd.IntN(2) == 0
	return func() bool { return all || rnd.IntN(2) == 0 }
}
