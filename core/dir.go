package core

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// splitName returns the directory that a name lies in and its entry there. The
// system follows "x/.." through a link x, so nothing is cleaned away.
func splitName(name string) (dir, base string) {
	end := len(name)
	for end > 1 && os.IsPathSeparator(name[end-1]) && end > len(filepath.VolumeName(name)) {
		end--
	}
	dir, base = filepath.Split(name[:end])
	volume := filepath.VolumeName(dir)
	if dir == volume { // of nothing, or of a Windows drive
		return dir + ".", base
	}
	for len(dir) > len(volume)+1 && os.IsPathSeparator(dir[len(dir)-1]) {
		dir = dir[:len(dir)-1]
	}
	return dir, base
}

// parent is what a file remembers of the directory that names it.
type parent struct {
	name string // as given
	abs  string // name from the root, so that a later os.Chdir does not matter; "" if unknown
	base string // entry for the file

	nameless bool // no name is known: what is above is empty

	// mu guards what follows, except for loads of unsynced; it is held while
	// syncing.
	mu       sync.Mutex
	dir      *sys.Dir    // held while unsynced or keep; nil if it could not be opened, or let go
	id       sys.ID      // of the directory that has been let go
	known    bool        // id is set: unsynced or keep mean that directory and no other
	keep     bool        // remove the entry when the file is closed
	unsynced atomic.Bool // the entry was created and is not known to be durable
	removed  atomic.Bool // the entry has been removed: closing need not look for it
}

// remember notes the name. When dir, which may be nil, is the directory that
// the file was created in, it belongs to p from now on.
func (p *parent) remember(name string, dir *sys.Dir, created, keep bool) {
	if p.nameless {
		return
	}
	p.name, p.base = splitName(name)
	p.keep, p.dir = keep, dir
	p.unsynced.Store(created)
	if filepath.IsAbs(p.name) {
		p.abs = p.name
	} else if filepath.VolumeName(p.name) != "" || os.IsPathSeparator('\\') {
		p.abs, _ = filepath.Abs(p.name) // Windows itself cleans names
	} else if wd, err := sys.Getwd(); err == nil {
		p.abs = wd + string(filepath.Separator) + p.name
	}
	if keep && p.dir == nil {
		// Where it cannot be held, Close looks it up by name.
		p.dir, _ = sys.OpenDir(p.name)
	}
}

// letGo closes the directory that is held, where find can find it again. There
// the file's own directory cannot be replaced unnoticed: as long as the entry is
// in it, the system keeps its identity from being reused.
func (p *parent) letGo(f *os.File) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letGoLocked(f)
}

func (p *parent) letGoLocked(f *os.File) {
	if p.dir == nil {
		return
	}
	if _, err := sys.PathOf(f); err != nil {
		return
	}
	id, err := p.dir.Identity()
	if err != nil {
		return
	}
	p.id, p.known = id, true
	_ = p.dir.Close() // nothing was written through it
	p.dir = nil
}

// findTries is how often find looks for a directory that is not where the system
// has just said: those that another process renames all the time may be elsewhere
// each time.
const findTries = 200

// find opens the directory that has been let go. It may have the name that it
// had, or lie where the system knows the file to be. If it is gone, or the file
// has left it, the error is [fs.ErrNotExist] alone. If it cannot be found for
// another reason, the error is that, or wraps errReplaced too.
func (p *parent) find(f *os.File) (d *sys.Dir, err error) {
	for range findTries {
		d, left, moving, cause := p.look(f)
		switch {
		case d != nil:
			return d, nil
		case left || sys.Nameless(f):
			return nil, p.refused("find the file in", fs.ErrNotExist)
		}
		if err = cause; !moving {
			break
		}
	}
	if err != nil {
		return nil, p.refused("open", err)
	}
	return nil, fmt.Errorf("%w: %w", errReplaced, p.refused("find", fs.ErrNotExist))
}

// look is one try of find. It reports whether it has found that the file is in
// another directory, and otherwise whether what the system knows of its place
// was no longer so. The error is one of opening, except that nothing was there.
func (p *parent) look(f *os.File) (d *sys.Dir, left, moving bool, err error) {
	refused := false // the last try
	try := func(name string) (d *sys.Dir, same bool) {
		d, oerr := sys.OpenDir(name)
		if oerr == nil {
			var id sys.ID
			if id, oerr = d.Identity(); oerr == nil {
				return d, id == p.id
			}
			_ = d.Close()
		}
		if refused = !errors.Is(oerr, fs.ErrNotExist); refused && err == nil {
			err = oerr
		}
		return nil, false
	}
	before := []string{p.abs}
	if p.name != p.abs { // p.abs is unknown or, perhaps, too long
		before = append(before, p.name)
	}
	for _, name := range before {
		if name == "" {
			continue
		}
		d, same := try(name)
		if same {
			return d, false, false, nil
		}
		if d != nil {
			_ = d.Close()
		}
	}
	name, base, ok := placeOf(f)
	if !ok {
		return nil, false, false, err
	}
	gone := base == p.base+" (deleted)" // see proc_pid_fd(5)
	d, same := try(name)
	if same || d == nil {
		return d, !same && gone, !refused, err
	}
	there := names(d, base, f)
	_ = d.Close()
	return nil, gone || there, true, err
}

// setKeep changes whether the entry is removed when the file is closed. For that
// the directory that has the name now is found or held as after opening, unless
// it is already known for another reason.
func (p *parent) setKeep(keep bool, f *os.File) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.keep
	p.keep = keep
	if keep && p.dir == nil && !(p.known && (before || p.unsynced.Load())) {
		p.known = false
		p.dir, _, _ = p.open(nil, false)
		p.letGoLocked(f)
	}
	if keep || p.dir == nil || p.unsynced.Load() {
		return nil
	}
	d := p.dir
	p.dir = nil
	return d.Close()
}

// removes reports whether closing removes the entry.
func (p *parent) removes() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keep && !p.removed.Load()
}

// open returns the directory and a function that closes it again: if first is
// set, the directory that the file f was opened in, where that is held or known,
// or else the one that has the name now.
func (p *parent) open(f *os.File, first bool) (d *sys.Dir, done func(), err error) {
	if first && p.dir != nil {
		return p.dir, func() {}, nil
	}
	if first && p.known {
		d, err := p.find(f)
		return d, func() { _ = d.Close() }, err
	}
	err = fs.ErrNotExist
	if p.abs != "" {
		d, err = sys.OpenDir(p.abs)
	}
	if err != nil { // without a name from the root, or one that is too long
		d, err = sys.OpenDir(p.name)
	}
	if err != nil {
		return nil, nil, p.refused("open", err)
	}
	return d, func() { _ = d.Close() }, nil
}

// refused names the directory in an error about it.
func (p *parent) refused(what string, err error) error {
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s directory %q: %w", what, p.name, err)
}

// sync makes the entry of a created file durable, once. Where the directory
// cannot be synced, the whole file system is, if the system has a call for it. A
// directory that is opened again does not report a write-back that failed, and
// was reported to another descriptor, before: ext4, xfs and btrfs fail every
// sync after that, other file systems may not.
func (p *parent) sync(f *os.File) error {
	if !p.unsynced.Load() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.unsynced.Load() {
		return nil
	}
	if err := p.syncEntry(f); err != nil {
		return err
	}
	p.unsynced.Store(false)
	if p.keep || p.dir == nil {
		return nil
	}
	d := p.dir
	p.dir = nil
	return d.Close()
}

func (p *parent) syncEntry(f *os.File) error {
	if p.dir != nil {
		return p.syncHeld(f)
	}
	d, done, err := p.open(f, true)
	if err == nil {
		if p.holds(d, f) {
			defer done()
			return p.refused("sync", syncNames(d, f))
		}
		done()
		err = p.refused("find the file in", fs.ErrNotExist)
	}
	if p.known && sys.Nameless(f) {
		return nil // no name to make durable
	}
	// The directory that has the file now is synced by itself first: that reports
	// what has failed, which a sync of the file system may not, and some file
	// systems in user space do nothing for the latter. Then the directories on the
	// way there follow.
	d = holding(f)
	if d != nil {
		err = syncNames(d, f)
		_ = d.Close()
		if err != nil {
			return p.refused("sync", err)
		}
	}
	all := sys.SyncAll(f)
	switch {
	case errors.Is(all, errors.ErrUnsupported):
		return err
	case all == nil && d == nil:
		return sys.SyncFile(f) // an error if the file system has become read-only
	}
	return all
}

// syncHeld syncs the directory that is held. If it does not have the file any
// longer, where to find the one that has is not known, and the file system is
// synced; on systems without a call for that the process that has moved the file
// has to sync the directory it is in.
func (p *parent) syncHeld(f *os.File) error {
	err := p.refused("sync", syncNames(p.dir, f))
	if err != nil || names(p.dir, p.base, f) || sys.Nameless(f) {
		return err
	}
	if all := sys.SyncAll(f); !errors.Is(all, errors.ErrUnsupported) {
		return all
	}
	return nil
}

// holding opens the directory in which the system knows the file to be. It is
// nil where that cannot be found.
func holding(f *os.File) *sys.Dir {
	name, base, ok := placeOf(f)
	if !ok {
		return nil
	}
	d, err := sys.OpenDir(name)
	if err != nil {
		return nil
	}
	if !names(d, base, f) {
		_ = d.Close()
		return nil
	}
	return d
}

// holds reports whether syncing d, which has been opened now, makes the name of
// the file f durable: whether d has it, as it was or renamed. A file without any
// name has nothing more to make durable.
func (p *parent) holds(d *sys.Dir, f *os.File) bool {
	if names(d, p.base, f) {
		return true
	}
	if !p.known {
		return false // another directory may have the name
	}
	if _, base, ok := placeOf(f); ok && names(d, base, f) {
		return true
	}
	return sys.Nameless(f)
}

// placeOf returns the name of the directory in which the system knows the file
// to be, and its name there. What they lead to is to be checked, see
// [sys.PathOf].
func placeOf(f *os.File) (dir, base string, ok bool) {
	now, err := sys.PathOf(f)
	if err != nil {
		return "", "", false
	}
	dir, base = splitName(now)
	return dir, base, true
}

// names reports whether the entry of d is known to be the file f.
func names(d *sys.Dir, base string, f *os.File) bool {
	same, err := d.Names(base, f)
	return err == nil && same
}

// remove unlinks the entry, if it is the file f itself, and makes that durable.
// With RemoveOnClose it follows the directory to another name, else it does not:
// whether the file was flushed meanwhile makes no difference.
func (p *parent) remove(f *os.File) error {
	if p.nameless {
		return errNoName
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d, done, err := p.open(f, p.keep)
	if err != nil {
		return err
	}
	defer done()
	switch same, err := d.Names(p.base, f); {
	case err != nil:
		return err
	case !same:
		return fmt.Errorf("%w: %w", errReplaced, fs.ErrNotExist)
	}
	if err := d.Unlink(p.base, f); err != nil {
		return err
	}
	p.removed.Store(true)
	return p.refused("sync", syncNames(d, f))
}

// close closes the directory if it is still held.
func (p *parent) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dir == nil {
		return nil
	}
	d := p.dir
	p.dir = nil
	return d.Close()
}
