package async

import (
	"container/list"
	"context"
	"fmt"
	"hash/maphash"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/core"
)

// A FileSet serves more files than a process may have open. It opens a file when
// that is first asked for, keeps it open while it is used, and closes it when it
// has not been used for some time, or when another file needs its place: the one
// that has not been used for the longest time first.
//
// A use is a [Lease]. The set never closes a file that has a lease, a pin, a
// lock, a [Background], or an operation or flush under way, even one that began
// under a lease that has been released. A file of which a flush has failed stays
// open until the set is closed, because opening it again would forget the
// failure.
//
// An open file has one descriptor and one mapping. The files that are open, are
// being opened or are being closed are never more than FileSetOptions.MaxOpen. If
// all of them are in use, [FileSet.Get] waits.
//
// Names are compared as they are written. Two names of one file are two files to
// the set, and exclude each other as two calls of [Open] do.
//
// The methods may be called concurrently. A FileSet owns no goroutine, and a
// timer only while it has files open that are not in use.
type FileSet struct {
	pool  *Pool
	open  core.Options
	max   int
	spare int           // places kept free, so that an opening need not wait for a closing
	idle  time.Duration // not positive: no file is closed because of its age

	// mu guards what follows. File.mu and the locks of core may be taken while it
	// is held.
	mu      sync.Mutex
	members map[string]*member
	unused  list.List // of *member: open and without a lease, least recently used first
	queue   list.List // of *member: those that wait for a place, in order
	places  int       // taken by members that are opening, open or closing
	opening int       // of these members, the ones that are opening
	closing int       // and the ones that are closing
	leases  int
	ager    *time.Timer   // nil while unused is empty, or idle is not positive
	retry   *time.Timer   // looks for a file to close again; nil unless all are busy
	pause   time.Duration // of the next retry
	looks   int           // of callers at files to close, for tests of what a call costs

	retrying bool              // the critical section is that of a retry
	done     *Future[struct{}] // nil until the set is being closed
	failed   error             // the first error of closing a file
	seed     maphash.Seed
	seen     map[uint64]struct{} // hashes of names that have been opened
	stats    FileSetStats        // the counters; the rest is filled in by Stats
}

// FileSetOptions describe a set to [NewFileSet]. The zero value has the set open
// files for reading.
type FileSetOptions struct {
	// Open is how each file is opened. What would be repeated or lost when a file
	// is opened again is refused: Create, Exclusive, Truncate, RemoveOnClose and
	// [core.CopyOnWrite]. So is Wait: a file that waits for a lock would keep its
	// place from others.
	Open core.Options

	// MaxOpen is how many files may be open at a time; 0 means 256. Descriptors
	// and mappings for the rest of the process have to be left. On Linux their
	// limits are RLIMIT_NOFILE and vm.max_map_count, and a Go program that
	// reaches the second one dies.
	MaxOpen int

	// Idle is how long a file stays open without being used; 0 means a minute.
	// With a negative one it stays open until another file needs its place.
	Idle time.Duration
}

const (
	defaultMaxOpen = 256
	defaultIdle    = time.Minute
)

// FileSetStats is what [FileSet.Stats] returns: what the set has open, and what
// it has done.
type FileSetStats struct {
	Open    int // files open, being opened or being closed: as many descriptors and mappings
	Leases  int // leases that have not been released
	Waiting int // files that wait for a place

	Hits   uint64 // leases of a file that was open already
	Opened uint64 // files opened
	// Reopened counts the files of Opened that the set had opened before. It
	// remembers about a million names for that, in about 20 bytes each.
	Reopened uint64
	Refused  uint64 // openings that failed
	Evicted  uint64 // files closed for others
	Expired  uint64 // files closed because they were not used for some time
}

// A Lease is a use of a file of a [FileSet], which keeps the file open. It is
// safe for concurrent use.
type Lease struct {
	set      *FileSet
	member   *member
	file     *File
	released atomic.Bool
}

// File returns the file. It must not be closed, and not be used after the
// release of the lease: the set may close it at any time from then on.
func (l *Lease) File() *File { return l.file }

// Release ends the use. Pins, locks and operations that are left keep the file
// open until they end. Releasing again does nothing.
func (l *Lease) Release() {
	if !l.released.Swap(true) {
		l.set.release(l.member)
	}
}

// NewFileSet returns a set without files, whose files are served by p, or by the
// [Default] pool if p is nil.
func NewFileSet(p *Pool, o FileSetOptions) (*FileSet, error) {
	if o.MaxOpen < 0 {
		return nil, fmt.Errorf("async: MaxOpen is %d: %w", o.MaxOpen, fs.ErrInvalid)
	}
	for name, set := range map[string]bool{
		"Create": o.Open.Create, "Exclusive": o.Open.Exclusive, "Truncate": o.Open.Truncate,
		"RemoveOnClose": o.Open.RemoveOnClose, "CopyOnWrite": o.Open.Access == core.CopyOnWrite, "Wait": o.Open.Wait,
	} {
		if set {
			return nil, fmt.Errorf("async: a set of files cannot be opened with %s: %w", name, fs.ErrInvalid)
		}
	}
	s := &FileSet{pool: p.orDefault(), open: o.Open, max: o.MaxOpen, idle: o.Idle, pause: minRetry}
	if s.max == 0 {
		s.max = defaultMaxOpen
	}
	if s.idle == 0 {
		s.idle = defaultIdle
	}
	s.spare = s.max / 32
	s.members, s.seen, s.seed = make(map[string]*member), make(map[uint64]struct{}), maphash.MakeSeed()
	return s, nil
}

// Get returns a lease of the file of that name. If the file is open, the future
// has resolved when Get returns. Otherwise it is opened, once for all that ask
// for it meanwhile, and the errors are those of [Open].
//
// When ctx is done first, the future fails with its cause; a lease that arrives
// later is released, and so is one in a future that is collected before any
// caller has taken it. Once the set is being closed Get fails with
// [fs.ErrClosed].
//
// A caller that holds leases while it waits for others can wait for itself: see
// that MaxOpen is more than all such callers hold together.
func (s *FileSet) Get(ctx context.Context, name string) *Future[*Lease] {
	if ctx.Err() != nil {
		return Failed[*Lease](context.Cause(ctx))
	}
	s.mu.Lock()
	if l, ok := s.hit(name); ok {
		s.mu.Unlock()
		return readyOwned(l, (*Lease).Release)
	}
	if s.done != nil {
		s.mu.Unlock()
		return Failed[*Lease](errSetClosed(name))
	}
	m := s.members[name]
	if m == nil {
		m = &member{name: name}
		s.members[name] = m
		s.enqueue(m)
	}
	g := &getter{ctx: ctx, out: newOwned((*Lease).Release), waits: true}
	m.getters = append(m.getters, g)
	m.waiting++
	s.unlock(nil)
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { s.giveUp(m, g) })
		onResolved(g.out, func() { stop() })
	}
	return g.out
}

// TryGet returns a lease of a file that is open, and otherwise does nothing and
// reports false: where a future of a file that is open costs too much.
func (s *FileSet) TryGet(name string) (l *Lease, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hit(name)
}

// Stats returns what the set has open now, and what it has done until now.
func (s *FileSet) Stats() FileSetStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.stats
	t.Open, t.Leases, t.Waiting = s.places, s.leases, s.queue.Len()
	return t
}

// Close closes all files and blocks until that is done: until every lease has
// been released, and what [File.Close] waits for has ended. The error is the
// first one that closing any file of the set has met, earlier ones included. A
// second Close returns [fs.ErrClosed].
func (s *FileSet) Close() error { return s.CloseContext(context.Background()) }

// CloseContext is like [FileSet.Close], except that it returns
// context.Cause(ctx) when ctx is done first. The closing goes on.
func (s *FileSet) CloseContext(ctx context.Context) error { return s.StartClose(ctx).Wait() }

// StartClose begins what [FileSet.Close] does, and holds no goroutine while it
// waits. When ctx is done first the future fails with its cause, and the closing
// goes on.
func (s *FileSet) StartClose(ctx context.Context) *Future[struct{}] {
	s.mu.Lock()
	if s.done != nil {
		s.mu.Unlock()
		return Failed[struct{}](fs.ErrClosed)
	}
	done := newPromise[struct{}]()
	s.done = done
	var todo actions
	for s.queue.Len() > 0 {
		m := s.dequeue()
		delete(s.members, m.name)
		todo.fail(m, errSetClosed(m.name))
	}
	for _, m := range s.members {
		todo.fail(m, errSetClosed(m.name))
	}
	for e := s.unused.Front(); e != nil; e = s.unused.Front() {
		s.startClosing(e.Value.(*member), &todo)
	}
	s.unlock(&todo)
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { done.resolve(struct{}{}, context.Cause(ctx)) })
		onResolved(done, func() { stop() })
	}
	return done
}
