package lock

import (
	"io/fs"
	"sync"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// A key is what locks exclude each other on: the whole of a file, or its bytes.
type key struct {
	id     sys.ID
	ranged bool
}

// files has an entry for each key that somebody holds or waits for. It is the one global of this package, since what
// the locks of a process have in common is the process.
//
// Lock order: entry.mu is never waited for under table.mu, and table.mu may be taken under entry.mu.
var files table

type table struct {
	mu      sync.Mutex
	entries map[key]*entry
	// Some entries stay when nobody uses them, so that a lock that comes and goes finds its own again, with a third of
	// the work for the map, and allocates nothing. One without a user may be had for another key.
	kept []*entry
	hand int // where in kept to look first
}

// keptEntries bounds what the table keeps when nobody uses it.
const keptEntries = 16

// get returns the entry of k with one more reference.
func (t *table) get(k key) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[k]
	if e == nil {
		e = t.fresh()
		e.key = k
		if t.entries == nil {
			t.entries = make(map[key]*entry)
		}
		t.entries[k] = e
	}
	e.refs++
	return e
}

// fresh returns an entry that is not in the table: one that was kept, once as many are as may be.
func (t *table) fresh() *entry {
	if len(t.kept) == keptEntries {
		for range t.kept {
			e := t.kept[t.hand]
			t.hand = (t.hand + 1) % keptEntries
			if e.refs == 0 {
				delete(t.entries, e.key)
				return e
			}
		}
	}
	return new(entry)
}

// put gives n references back. After the last one the entry stays in the table if it is among those kept.
func (t *table) put(e *entry, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.refs -= n; {
	case e.refs > 0 || e.kept:
	case len(t.kept) < keptEntries:
		e.kept = true
		t.kept = append(t.kept, e)
	default:
		delete(t.entries, e.key)
	}
}

// An entry is what the process knows of one key.
//
// Each lock that holds or waits has one reference, and each call for as long as it lasts, unless the lock's own serves
// it. When the last one goes there is no holder, no waiter and no handle, so that the entry can serve another key.
// Somebody may still come to it by an old pointer: whoever has locked mu through a Lock looks whether the lock
// still points here, and whoever does through a waiter looks whether it is still queued.
type entry struct {
	// Guarded by table.mu.
	key  key
	refs int
	kept bool // is in table.kept

	mu        sync.Mutex // guards all below, and the state of the locks that point here
	handles   *handle    // the open files in use
	holders   []*Lock
	exclusive int // holders of Exclusive

	first, last *waiter   // the queue
	turn        time.Time // of who is granted in this critical section; see Lock.turn
	// Bytes that may have become free since the queue was last looked at.
	freed          bool
	freeLo, freeHi int64
	pieces         []piece // scratch of layout

	ready     *waiter // to be told their outcome when mu is free, in the order of lastReady
	lastReady *waiter
	surplus   int // references to give back when mu is free
}

// A handle is one open file of an entry: the unit that the system knows as a holder. Guarded by entry.mu.
type handle struct {
	fl                *sys.FileLock
	lock              *Lock // that it was made for; names the file
	refs              int   // locks that point here
	next              *handle
	shared, exclusive int // holders of each mode
}

// enter locks the entry of l, and points l there if it was not.
func (l *Lock) enter(m Mode) (*entry, error) {
	if l.bad != nil {
		return nil, l.bad
	}
	if m != Shared && m != Exclusive {
		return nil, fs.ErrInvalid
	}
	if e := l.attached(); e != nil {
		return e, nil
	}
	k, err := l.key()
	if err != nil {
		return nil, err
	}
	e := files.get(k)
	e.mu.Lock()
	if l.entry.Load() != nil { // by another goroutine: to e, which the table has while it is referenced
		e.surplus++
		return e, nil
	}
	if err := e.attach(l); err != nil {
		e.surplus++
		e.unlock()
		return nil, err
	}
	return e, nil
}

// attached locks the entry that l points to; nil when l neither holds nor waits.
func (l *Lock) attached() *entry {
	for {
		e := l.entry.Load()
		if e == nil {
			return nil
		}
		e.mu.Lock()
		if l.entry.Load() == e { // which changes under e.mu alone
			return e
		}
		e.mu.Unlock()
	}
}

// key asks the system once: an open file does not change its identity.
func (l *Lock) key() (key, error) {
	if k := l.id.Load(); k != nil {
		return *k, nil
	}
	id, err := sys.Identity(l.file)
	if err != nil {
		return key{}, err
	}
	k := &key{id, l.ranged}
	l.id.Store(k)
	return *k, nil
}

func (e *entry) attach(l *Lock) error {
	h := e.handles
	for h != nil && h.lock.file != l.file {
		h = h.next
	}
	if h == nil {
		if l.own == nil {
			fl, err := sys.NewFileLock(l.file)
			if err != nil {
				return err
			}
			l.own = &handle{fl: fl, lock: l}
		}
		h = l.own
		h.next, e.handles = e.handles, h
	}
	h.refs++
	l.h = h
	l.entry.Store(e)
	return nil
}

// detach undoes attach when l neither holds nor waits; it may be called again.
func (e *entry) detach(l *Lock) {
	if l.entry.Load() != e || l.mode != 0 || l.pending > 0 {
		return
	}
	if l.h.refs--; l.h.refs == 0 {
		for p := &e.handles; ; p = &(*p).next {
			if *p == l.h {
				*p, l.h.next = l.h.next, nil
				break
			}
		}
	}
	l.h = nil
	l.entry.Store(nil)
	e.surplus++
}

// leave ends a call of l that has locked e.
func (e *entry) leave(l *Lock) {
	e.detach(l)
	e.unlock()
}

// unlock ends a critical section: it grants what has become free in it, and does what must not be done under mu.
func (e *entry) unlock() {
	e.advance()
	ready, surplus := e.ready, e.surplus
	e.ready, e.lastReady, e.surplus, e.turn = nil, nil, 0, time.Time{}
	e.mu.Unlock()
	if surplus > 0 {
		files.put(e, surplus)
	}
	tell(ready)
}
