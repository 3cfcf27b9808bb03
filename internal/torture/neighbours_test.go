package torture

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// A contestedDir is a directory in which names change while we work there, and
// one outside of it, where nothing may change.
//
//	arena/dir/      with "name", "copy" and "new"
//	arena/trap      a symbolic link to outside: takes the place of dir
//	outside/        with files of the same names
type contestedDir struct {
	*testing.T
	arena, outside string
	before         string // outside, as text
	stop           chan struct{}
	swaps          sync.WaitGroup
	seen           tally
}

// Another process swaps directories and files for symbolic links and other
// files, all the time. Whatever we open, remove and copy meanwhile: what lies
// outside is not written, cut, removed, or added to.
func TestHostileNeighbours(t *testing.T) {
	testutil.NoLeaks(t)
	t.Setenv("TMPDIR", "/dev/shm")
	top := t.TempDir()
	s := &contestedDir{T: t, arena: filepath.Join(top, "arena"), outside: filepath.Join(top, "outside")}
	check(t, os.MkdirAll(filepath.Join(s.arena, "dir"), 0o755))
	check(t, os.Mkdir(s.outside, 0o755))
	for _, name := range []string{"name", "copy", "canary"} {
		check(t, os.WriteFile(filepath.Join(s.outside, name), pattern(0, 5000, 3), 0o644))
	}
	s.before = s.look()
	rnd := testutil.Rand(t)
	rounds := int64(0)
	for _, play := range []struct {
		name    string
		hostile func(rnd *rand.Rand) error // is called all the time
		ours    func(rnd *rand.Rand) error
		rounds  int
		happens []string // what must, or nothing was shown
	}{
		{"opening a name that becomes a link", s.linkFor("name", "canary"), s.openNoFollow, 4000, []string{"opened", "refused"}},
		{"creating a name that becomes a link to nowhere", s.linkFor("new", "nowhere"), s.create, 4000, []string{"created", "refused"}},
		{"creating where the directory becomes another", s.otherFor, s.createAndClose, 2000, []string{"created"}},
		{"failing to create where the directory becomes a link", s.trapFor, s.createInVain, 6000, []string{"in vain"}},
		{"removing where the directory becomes a link", s.trapFor, s.remove, 4000, []string{"removed", "left alone"}},
		{"copying to a name that becomes a link", s.linkFor("copy", "copy"), s.copyTo, 4000, []string{"copied"}},
		{"copying where the directory becomes another", s.otherFor, s.copyTo, 2000, []string{"copied"}},
	} {
		s.seen = tally{}
		s.begin(rand.New(rand.NewPCG(rnd.Uint64(), 0)), play.hostile)
		b := newBudget(play.rounds)
		for b.next() && !t.Failed() {
			check(t, play.ours(rnd))
		}
		s.end()
		rounds += b.rounds.Load()
		counted(t, "%s: %d rounds, %s", play.name, b.rounds.Load(), s.seen.String())
		for _, what := range append(play.happens, "swaps") {
			if s.seen.of(what) == 0 {
				t.Errorf("%s: never %s", play.name, what)
			}
		}
		if now := s.look(); now != s.before {
			t.Fatalf("%s: outside was\n%s\nand is\n%s", play.name, s.before, now)
		}
		s.tidy()
	}
	counted(t, "%d rounds", rounds)
}

// look describes what is outside.
func (s *contestedDir) look() string {
	var b strings.Builder
	for _, e := range must[[]os.DirEntry](s)(os.ReadDir(s.outside)) {
		contents := must[[]byte](s)(os.ReadFile(filepath.Join(s.outside, e.Name())))
		fmt.Fprintf(&b, "%s %v %t\n", e.Name(), e.Type(), bytes.Equal(contents, pattern(0, 5000, 3)))
	}
	return b.String()
}

// begin lets the neighbour do something hostile until end.
func (s *contestedDir) begin(rnd *rand.Rand, hostile func(rnd *rand.Rand) error) {
	s.stop = make(chan struct{})
	s.swaps.Go(func() {
		for {
			select {
			case <-s.stop:
				return
			default:
			}
			if err := hostile(rnd); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
				s.Errorf("the neighbour: %v", err)
				return
			}
			s.seen.add("swaps", 1)
		}
	})
}

func (s *contestedDir) end() {
	close(s.stop)
	s.swaps.Wait()
}

// tidy makes the arena what it was.
func (s *contestedDir) tidy() {
	check(s, os.RemoveAll(s.arena))
	check(s, os.MkdirAll(filepath.Join(s.arena, "dir"), 0o755))
}

// in is a name in the directory.
func (s *contestedDir) in(base string) string { return filepath.Join(s.arena, "dir", base) }

// linkFor makes the name mean, in turns, nothing, a file, and a link to what is
// outside.
func (s *contestedDir) linkFor(base, target string) func(rnd *rand.Rand) error {
	return func(rnd *rand.Rand) error {
		temp := s.in("temp")
		var err error
		switch rnd.IntN(3) {
		case 0:
			return os.Remove(s.in(base))
		case 1:
			err = os.WriteFile(temp, pattern(0, 100, 9), 0o644)
		case 2:
			err = os.Symlink(filepath.Join(s.outside, target), temp)
		}
		if err != nil {
			return err
		}
		return os.Rename(temp, s.in(base))
	}
}

// trapFor swaps the directory for a link to outside, and back.
func (s *contestedDir) trapFor(*rand.Rand) error {
	trap := filepath.Join(s.arena, "trap")
	if err := os.Symlink(s.outside, trap); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return unix.Renameat2(unix.AT_FDCWD, filepath.Join(s.arena, "dir"), unix.AT_FDCWD, trap, unix.RENAME_EXCHANGE)
}

// otherFor swaps the directory for another.
func (s *contestedDir) otherFor(*rand.Rand) error {
	other := filepath.Join(s.arena, "other")
	if err := os.Mkdir(other, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return unix.Renameat2(unix.AT_FDCWD, filepath.Join(s.arena, "dir"), unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
}

// openNoFollow opens for writing and empties, but follows no link: opening
// follows links unless it is told not to.
func (s *contestedDir) openNoFollow(rnd *rand.Rand) error {
	f, err := core.OpenFile(s.in("name"), core.Options{
		Access: core.ReadWrite, Create: rnd.IntN(2) == 0, Truncate: true, Size: 100, Flags: syscall.O_NOFOLLOW,
	})
	switch {
	case err == nil:
		s.seen.add("opened", 1)
		return errors.Join(second(f.WriteAt(pattern(0, 100, 1), 0)), f.Close())
	case errors.Is(err, syscall.ELOOP), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist):
		s.seen.add("refused", 1)
		return nil
	}
	return err
}

// create makes a file, and no file where a link leads.
func (s *contestedDir) create(rnd *rand.Rand) error {
	f, err := core.OpenFile(s.in("new"), core.Options{Access: core.ReadWrite, Create: true, Exclusive: rnd.IntN(2) == 0, Size: 100, RemoveOnClose: rnd.IntN(2) == 0})
	switch {
	case err == nil:
		s.seen.add("created", 1)
		if err := errors.Join(second(f.WriteAt(pattern(0, 100, 1), 0)), f.Close()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist):
		s.seen.add("refused", 1)
		return nil
	}
	return err
}

// createAndClose makes a file that is removed on closing: no try leaves one, in
// whichever directory it was made.
func (s *contestedDir) createAndClose(*rand.Rand) error {
	f, err := core.OpenFile(s.in("new"), core.Options{Access: core.ReadWrite, Create: true, Size: 100, RemoveOnClose: true})
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	s.seen.add("created", 1)
	for _, dir := range []string{"dir", "other"} {
		if _, err := os.Lstat(filepath.Join(s.arena, dir, "new")); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("a file was left in %s: %w", dir, err)
		}
	}
	return nil
}

// createInVain makes a file, finds the options impossible, and takes it back:
// not another one.
func (s *contestedDir) createInVain(rnd *rand.Rand) error {
	err := second(core.OpenFile(s.in("name"), core.Options{Access: core.ReadWrite, Create: true, Offset: 10_000, Length: 10, NoLock: rnd.IntN(2) == 0}))
	if !errors.Is(err, core.ErrRange) && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("impossible options: %w", err)
	}
	s.seen.add("in vain", 1)
	return nil
}

// remove removes what it opened, or nothing.
func (s *contestedDir) remove(rnd *rand.Rand) error {
	name := s.in("mine")
	check(s, os.WriteFile(filepath.Join(s.outside, "mine"), pattern(0, 5000, 3), 0o644))
	defer os.Remove(filepath.Join(s.outside, "mine"))
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: 10, RemoveOnClose: rnd.IntN(2) == 0, NoLock: true})
	if err != nil {
		return err
	}
	fi := must[os.FileInfo](s)(f.Stat())
	theirs := fi.Size() == 5000 // it was the trap when it was opened: then this is its own file
	err = f.Remove()
	if theirs { // perhaps it is gone now, as it should be
		if err := f.Close(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	switch {
	case err == nil:
		s.seen.add("removed", 1)
	case errors.Is(err, fs.ErrNotExist):
		s.seen.add("left alone", 1)
	default:
		return err
	}
	if err := f.Close(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if got, err := os.ReadFile(filepath.Join(s.outside, "mine")); !bytes.Equal(got, pattern(0, 5000, 3)) {
		return fmt.Errorf("the file of the same name outside: %w", err)
	}
	return nil
}

// copyTo replaces a name, and leaves nothing else.
func (s *contestedDir) copyTo(*rand.Rand) error {
	f := core.NewMemory("memory", pattern(0, 3000, 1))
	if err := errors.Join(f.CopyTo(s.in("copy"), 0, 3000), f.Close()); err != nil {
		return err
	}
	s.seen.add("copied", 1)
	for _, dir := range []string{"dir", "other"} {
		entries, err := os.ReadDir(filepath.Join(s.arena, dir))
		if err != nil {
			continue // not there, or on the move
		}
		if i := slices.IndexFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".fmmap-") }); i >= 0 {
			return fmt.Errorf("%s was left behind", entries[i].Name())
		}
	}
	return nil
}
