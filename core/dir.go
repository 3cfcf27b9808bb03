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
	dir      *sys.Dir    // held while unsynced or keep; nil if it could not be opened
	keep     bool        // remove the entry when the file is closed, and hold dir until then
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

// setKeep changes whether the entry is removed when the file is closed. dir is
// held for that as after opening, where it can be opened.
func (p *parent) setKeep(keep bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep = keep
	if keep && p.dir == nil {
		p.dir, _, _ = p.open(false)
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

// open returns the directory and a function that closes it again: the directory
// that is held, if held is set, or else the one that has the name now.
func (p *parent) open(held bool) (d *sys.Dir, done func(), err error) {
	if held && p.dir != nil {
		return p.dir, func() {}, nil
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
// cannot be synced, the whole file system is, if the system has a call for it.
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
	d, done, err := p.open(true)
	if err == nil {
		defer done()
		if p.dir == nil { // opened now: another directory may have the name
			if same, nerr := d.Names(p.base, f); nerr != nil || !same {
				err = p.refused("find the file in", fs.ErrNotExist)
			}
		}
	}
	if err == nil {
		return p.refused("sync", syncNames(d, f))
	}
	if all := sys.SyncAll(f); !errors.Is(all, errors.ErrUnsupported) {
		return all
	}
	return err
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
	d, done, err := p.open(p.keep)
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
