package async

import (
	"container/list"
	"context"
	"errors"
	"hash/maphash"
	"io/fs"
	"time"

	"github.com/fmmap-go/fmmap/internal/invariant"
)

// This file has the members of a FileSet, and how they get and lose their
// places.

// maxSeen is how many names a set remembers to count how many files it reopens.
const maxSeen = 1 << 20

// maxOpening is how many files a set opens at once, so that many misses do not
// fill the queue of the lane.
const maxOpening = 64

// A retry of a set of which all files are busy comes after minRetry, and later
// ones after pauses that grow to maxRetry.
const (
	minRetry = 100 * time.Microsecond
	maxRetry = 20 * time.Millisecond
)

// looksOfCaller is how many files that are in use without a lease a call passes
// over to find one to close. The retries pass over any number.
const looksOfCaller = 16

// A member is a file of a set, from when it is first asked for until it has been
// closed:
//
//	queued ──▶ opening ──▶ open ──▶ closing ──▶ gone
//	   ▲          └─(error)──────────────────────▲
//	   └────────(asked for meanwhile)──┘
//
// It is guarded by FileSet.mu.
type member struct {
	name    string
	state   memberState
	file    *File // while open or closing
	leases  int
	since   time.Time     // when the last lease was released
	place   *list.Element // in queue or unused, nil if in neither
	getters []*getter     // in order; none while open
	waiting int           // getters that have not been given up
}

type memberState uint8

const (
	memberQueued memberState = iota
	memberOpening
	memberOpen
	memberClosing
)

// A getter is a Get that waits.
type getter struct {
	ctx   context.Context
	out   *Future[*Lease]
	waits bool // is counted by its member; guarded by FileSet.mu
}

func errSetClosed(name string) error {
	return &fs.PathError{Op: "open", Path: name, Err: fs.ErrClosed}
}

// hit returns a lease if the file is open. The caller holds mu.
func (s *FileSet) hit(name string) (*Lease, bool) {
	m := s.members[name]
	if m == nil || m.state != memberOpen || s.done != nil {
		return nil, false
	}
	s.stats.Hits++
	return s.lease(m), true
}

// lease returns a lease of m, which is open. The caller holds mu.
func (s *FileSet) lease(m *member) *Lease {
	if m.place != nil {
		s.unused.Remove(m.place)
		m.place = nil
	}
	m.leases++
	s.leases++
	return &Lease{set: s, member: m, file: m.file}
}

// release ends a lease of m.
func (s *FileSet) release(m *member) {
	s.mu.Lock()
	s.leases--
	m.leases--
	var todo actions
	if m.leases == 0 {
		s.rest(m, &todo)
	}
	s.unlock(&todo)
}

// rest puts m, which is open and has no lease, where it can be closed. The
// caller holds mu.
func (s *FileSet) rest(m *member, todo *actions) {
	if s.done != nil {
		s.startClosing(m, todo)
		return
	}
	m.since = time.Now()
	m.place = s.unused.PushBack(m)
}

// enqueue has m wait for a place. The caller holds mu.
func (s *FileSet) enqueue(m *member) {
	m.state = memberQueued
	m.place = s.queue.PushBack(m)
}

// dequeue returns the first member that waits for a place. The caller holds mu.
func (s *FileSet) dequeue() *member {
	m := s.queue.Remove(s.queue.Front()).(*member)
	m.place = nil
	return m
}

// giveUp ends a Get whose context is done.
func (s *FileSet) giveUp(m *member, g *getter) {
	s.mu.Lock()
	if g.waits { // otherwise its outcome is on the way
		g.waits = false
		if m.waiting--; m.waiting == 0 {
			s.forsake(m)
		}
	}
	s.mu.Unlock()
	g.out.resolve(nil, context.Cause(g.ctx))
}

// forsake takes note that no getter waits for m any longer. What is being opened
// is opened all the same. The caller holds mu.
func (s *FileSet) forsake(m *member) {
	switch m.state {
	case memberQueued:
		s.queue.Remove(m.place)
		m.place = nil
		delete(s.members, m.name)
	case memberClosing:
		m.getters = nil
	}
}

// actions are what is to be done once mu is free: opening and closing files may
// call back, and so may the resolution of a future.
type actions struct {
	open, close []*member
	results     []result
}

// A result is what a getter gets.
type result struct {
	g   *getter
	l   *Lease
	err error
}

// fail ends the Gets that wait for m.
func (a *actions) fail(m *member, err error) {
	for _, g := range m.takeGetters() {
		a.results = append(a.results, result{g: g, err: err})
	}
}

// takeGetters returns the getters, which wait for m no longer. The caller holds
// FileSet.mu.
func (m *member) takeGetters() []*getter {
	gs := m.getters
	for _, g := range gs {
		g.waits = false
	}
	m.getters, m.waiting = nil, 0
	return gs
}

// unlock ends a critical section: it decides what to open and to close now,
// frees mu, and does that and what todo has, if it is not nil.
func (s *FileSet) unlock(todo *actions) {
	if todo == nil {
		todo = new(actions)
	}
	s.admit(todo)
	s.retrying = false
	s.setTimers()
	s.check()
	done := s.done
	if done != nil && s.places > 0 {
		done = nil
	}
	failed := s.failed
	s.mu.Unlock()
	for _, o := range todo.results {
		o.g.out.resolveFor(o.g.ctx, o.l, o.err)
	}
	// First what is waited for: the lane may have one worker for both.
	for _, m := range todo.open {
		f := Open(context.Background(), s.pool, m.name, s.open)
		onResolved(f, func() {
			file, err, _ := f.TryResult()
			s.opened(m, file, err)
		})
	}
	for _, m := range todo.close {
		f := m.file.StartClose(context.Background())
		onResolved(f, func() { s.closed(m, f.Err()) })
	}
	if done != nil {
		done.resolve(struct{}{}, failed)
	}
}

// admit gives free places to those that wait for one, and has files closed for
// the others. The caller holds mu.
func (s *FileSet) admit(todo *actions) {
	for s.queue.Len() > 0 && s.places < s.max && s.opening < maxOpening {
		m := s.dequeue()
		m.state = memberOpening
		s.places++
		s.opening++
		todo.open = append(todo.open, m)
	}
	if s.done != nil {
		return
	}
	needed := s.queue.Len() + s.spare - (s.max - s.places) - s.closing
	looks := needed + looksOfCaller
	if s.retrying {
		looks = s.unused.Len()
	}
	for n := min(looks, s.unused.Len()); n > 0 && needed > 0; n-- {
		if !s.retrying {
			s.looks++
		}
		m := s.unused.Front().Value.(*member)
		if m.file.inUse() {
			s.keep(m)
			continue
		}
		s.stats.Evicted++
		s.startClosing(m, todo)
		needed--
	}
}

// keep notes that m is used, although it has no lease. The caller holds mu.
func (s *FileSet) keep(m *member) {
	m.since = time.Now()
	s.unused.MoveToBack(m.place)
}

// startClosing has m closed, which is open and has no lease. The caller holds mu.
func (s *FileSet) startClosing(m *member, todo *actions) {
	if m.place != nil {
		s.unused.Remove(m.place)
		m.place = nil
	}
	m.state = memberClosing
	s.closing++
	todo.close = append(todo.close, m)
}

// opened is called when m has been opened, or could not be.
func (s *FileSet) opened(m *member, f *File, err error) {
	s.mu.Lock()
	s.opening--
	var todo actions
	if err != nil {
		s.places--
		s.stats.Refused++
		delete(s.members, m.name)
		todo.fail(m, err)
		s.unlock(&todo)
		return
	}
	m.file, m.state = f, memberOpen
	s.stats.Opened++
	s.see(m.name)
	for _, g := range m.takeGetters() {
		todo.results = append(todo.results, result{g: g, l: s.lease(m)})
	}
	if m.leases == 0 {
		s.rest(m, &todo)
	}
	s.unlock(&todo)
}

// see counts an opening of a name that was opened before. The caller holds mu.
func (s *FileSet) see(name string) {
	h := maphash.String(s.seed, name)
	if _, ok := s.seen[h]; ok {
		s.stats.Reopened++
		return
	}
	if len(s.seen) == maxSeen {
		clear(s.seen)
	}
	s.seen[h] = struct{}{}
}

// closed is called when m has been closed.
func (s *FileSet) closed(m *member, err error) {
	s.mu.Lock()
	s.places--
	s.closing--
	m.file = nil
	if s.failed == nil && err != nil && !errors.Is(err, fs.ErrClosed) {
		s.failed = err
	}
	if m.waiting > 0 {
		s.enqueue(m)
	} else {
		delete(s.members, m.name)
	}
	s.unlock(nil)
}

// setTimers starts and stops the timers. The caller holds mu.
func (s *FileSet) setTimers() {
	if stuck := s.places == s.max && s.queue.Len() > s.closing && s.unused.Len() > 0; !stuck {
		s.pause = minRetry
		if s.retry != nil {
			s.retry.Stop()
			s.retry = nil
		}
	} else if s.retry == nil {
		s.retry = time.AfterFunc(s.pause, s.tryAgain)
		s.pause = min(2*s.pause, maxRetry)
	}
	if s.idle <= 0 {
		return
	}
	if s.unused.Len() == 0 {
		if s.ager != nil {
			s.ager.Stop()
			s.ager = nil
		}
	} else if s.ager == nil {
		oldest := s.unused.Front().Value.(*member)
		s.ager = time.AfterFunc(time.Until(oldest.since.Add(s.idle)), s.age)
	}
}

// tryAgain looks for files to close that were busy before: not everything that
// keeps them busy tells the set when it ends.
func (s *FileSet) tryAgain() {
	s.mu.Lock()
	s.retry, s.retrying = nil, true
	s.unlock(nil)
}

// age closes the files that have not been used for some time.
func (s *FileSet) age() {
	s.mu.Lock()
	s.ager = nil
	var todo actions
	before := time.Now().Add(-s.idle)
	for e := s.unused.Front(); e != nil; e = s.unused.Front() {
		m := e.Value.(*member)
		if m.since.After(before) {
			break
		}
		if m.file.inUse() {
			s.keep(m)
			continue
		}
		s.stats.Expired++
		s.startClosing(m, &todo)
	}
	s.unlock(&todo)
}

// check holds what is always true while mu is free.
func (s *FileSet) check() {
	if !invariant.Enabled {
		return
	}
	invariant.Check(s.places <= s.max, "async: more files are open than may be")
	invariant.Check(s.opening+s.closing <= s.places, "async: more files are opening and closing than have a place")
	invariant.Check(s.done == nil || s.queue.Len() == 0, "async: a closed set has files that wait")
}

// inUse reports whether closing the file would wait for something, or forget a
// flush that has failed.
func (f *File) inUse() bool {
	f.mu.Lock()
	busy := f.refs > 0 || len(f.locks) > 0 || f.background.Load() != nil
	f.mu.Unlock()
	return busy || f.batches.running() || f.core.InUse()
}
