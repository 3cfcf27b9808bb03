package lock

import (
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// This file has the table, and the methods of entry that count its users.

// A key is the subject on which locks exclude each other: a whole file, or the
// bytes of one.
type key struct {
	id     sys.ID
	ranged bool
}

// files has an entry for each key that a lock holds or waits for. It is the one
// global of this package, since the locks of a process have nothing else in
// common.
//
// Lock order: entry.mu is not acquired while table.mu is held; table.mu may be
// acquired while entry.mu is held.
var files table

type table struct {
	mu      sync.Mutex
	entries map[key]*entry
	// Entries that stay in the table while they are unused, in the order in
	// which they became so: a lock that comes and goes finds its own again,
	// which saves an allocation and two changes of the map.
	cached [maxCached]*entry
	oldest int // index of the one to be replaced next
}

// maxCached is how many entries the table keeps that may be unused.
const maxCached = 16

// get returns the entry of k with one more reference.
func (t *table) get(k key) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[k]
	if e == nil {
		if t.entries == nil {
			t.entries = make(map[key]*entry)
		}
		e = &entry{key: k, handles: make(map[*os.File]*handle)}
		t.entries[k] = e
	}
	e.refs++
	return e
}

// unref removes n references to e. After the last one e is cached, in place of
// the entry that has been for the longest time.
func (t *table) unref(e *entry, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.refs -= n; e.refs > 0 || e.cached {
		return
	}
	if old := t.cached[t.oldest]; old != nil {
		old.cached = false
		if old.refs == 0 {
			delete(t.entries, old.key)
		}
	}
	t.cached[t.oldest], e.cached = e, true
	t.oldest = (t.oldest + 1) % maxCached
}

// An entry is the state of one key in this process. Its methods are in three
// files, by the part that they read and change: in table.go the users, in
// hold.go the holders and the kernel's lock, in queue.go the waiters. Those in
// queue.go call those in hold.go, and never the other way round.
//
// Each lock that holds or waits has one reference, and each call for as long as
// it lasts, unless the lock's own serves it. When the last one goes there is no
// holder, no waiter and no handle, and the entry may leave the table. It may
// still be reached by an old pointer: a goroutine that has locked mu through a
// Lock checks whether the lock still points here, and one that has through a
// waiter checks whether that is still queued.
type entry struct {
	key key

	// Guarded by table.mu.
	refs   int
	cached bool // is in table.cached

	mu        sync.Mutex // guards the rest, and the state of the locks that point here
	handles   map[*os.File]*handle
	holders   index[*Lock]
	exclusive int // holders of Exclusive

	queue queue
	turn  time.Time // of the locks granted in this critical section; see Lock.turn
	// Bytes that may have become free since the queue was last looked at.
	freed          bool
	freeLo, freeHi int64
	pieces         []piece // scratch of coalesce

	granted []*waiter // out of the queue, to be called when mu is free
	surplus int       // references to remove when mu is free
}

// A handle is one open file of an entry: the unit that the kernel sees as a
// holder. Guarded by entry.mu.
type handle struct {
	fl                *sys.FileLock
	refs              int // locks that point here
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
	// Another goroutine may have attached l, to e, which the table keeps while
	// it is referenced.
	if l.entry.Load() != nil {
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

// attached locks the entry that l points to, and returns it. It returns nil
// when l neither holds nor waits.
func (l *Lock) attached() *entry {
	for {
		e := l.entry.Load()
		if e == nil {
			return nil
		}
		e.mu.Lock()
		if l.entry.Load() == e { // which changes only under e.mu
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

// attach points l to e and to the handle of its file.
func (e *entry) attach(l *Lock) error {
	h := e.handles[l.file]
	if h == nil {
		if l.own == nil {
			fl, err := sys.NewFileLock(l.file)
			if err != nil {
				return err
			}
			l.own = &handle{fl: fl}
		}
		h = l.own
		e.handles[l.file] = h
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
		delete(e.handles, l.file)
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

// unlock ends a critical section: it grants the requests for which it has made
// room, and makes the calls that must not be made while mu is held.
func (e *entry) unlock() {
	e.advance()
	e.check()
	granted, surplus := e.granted, e.surplus
	e.granted, e.surplus, e.turn = nil, 0, time.Time{}
	e.mu.Unlock()
	if surplus > 0 {
		files.unref(e, surplus)
	}
	deliverAll(granted)
}
