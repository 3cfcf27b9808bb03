package core

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// parent is what a file remembers of the directory that names it: only where
// it created the file, whose name is to become durable, or will remove it.
type parent struct {
	// unsynced is the directory whose entry for the file is not known to be durable.
	unsynced atomic.Pointer[os.File]
	mu       sync.Mutex // held while syncing
	root     *os.Root   // with RemoveOnClose
	// removed is set once Remove has unlinked the name: closing need not look for it again.
	removed atomic.Bool
}

// open remembers the directory of a file just opened, as far as that is needed.
func (p *parent) open(name string, created, removing bool) error {
	dir := filepath.Dir(name)
	if removing {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		p.root = root
	}
	if created {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		p.unsynced.Store(d)
	}
	return nil
}

// sync makes the name of a created file durable, once.
func (p *parent) sync() error {
	if p.unsynced.Load() == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.unsynced.Load()
	if d == nil {
		return nil
	}
	if err := syncNames(d); err != nil {
		return err
	}
	p.unsynced.Store(nil)
	return d.Close()
}

func (p *parent) close() error {
	var err error
	if d := p.unsynced.Swap(nil); d != nil {
		err = d.Close()
	}
	if p.root != nil {
		if e := p.root.Close(); err == nil {
			err = e
		}
	}
	return err
}
