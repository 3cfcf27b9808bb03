package lock_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// modelBytes is the number of bytes that the model knows; the last one stands
// for all that follow.
const modelBytes = 16

// A refLock is one lock of the model, and what the model believes it to hold.
type refLock struct {
	l      *lock.Lock
	parent *refLock // that it is nested in; nil
	lo, hi int      // bytes, both included
	mode   lock.Mode
}

// A refRequest is a request that may have to wait.
type refRequest struct {
	*refLock
	want   lock.Mode
	holds  bool // its lock, or one that is nested in, holds or has held since
	cancel context.CancelFunc
	done   bool
	err    error
}

func (r *refLock) within(o *refLock) bool {
	for ; r != nil; r = r.parent {
		if r == o {
			return true
		}
	}
	return false
}

func (r *refLock) overlaps(o *refLock) bool { return r.lo <= o.hi && o.lo <= r.hi }

// blocks reports whether q waits for r itself, or for what r is nested in.
func (r *refLock) blocks(q *refRequest) bool {
	for ; r != nil; r = r.parent {
		if q.blockedBy(r) {
			return true
		}
	}
	return false
}

func (q *refRequest) blockedBy(h *refLock) bool {
	return exclude(q.want, h.mode) && q.overlaps(h) && !q.within(h)
}

// exclude reports whether the two modes exclude each other; 0 excludes none.
func exclude(a, b lock.Mode) bool {
	return a != 0 && b != 0 && (a == lock.Exclusive || b == lock.Exclusive)
}

// A script is a source of choices: random bytes, or those of a fuzzer.
type script []byte

// choose returns a number below n, and 0 when the script is over.
func (s *script) choose(n int) int {
	if len(*s) == 0 {
		return 0
	}
	c := (*s)[0]
	*s = (*s)[1:]
	return int(c) % n
}

// A refModel is the simplest thing that could be right: it knows which locks
// hold and which requests wait, in order. It grants nothing itself, but checks
// what the package grants and what it does not, and what the system has for
// each byte.
type refModel struct {
	kind     kind
	files    [2]*os.File
	outside  *os.File // asks the system only, as another process would
	system   *sys.FileLock
	locks    []*refLock
	requests []*refRequest // that wait, in the order they came
}

func newModel(t *testing.T, k kind, name string, s *script) *refModel {
	m := &refModel{kind: k}
	for _, f := range []**os.File{&m.files[0], &m.files[1], &m.outside} {
		var err error
		if *f, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if m.system, err = sys.NewFileLock(m.outside); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		r := &refLock{hi: modelBytes - 1}
		if r.l = lock.New(m.files[i%2]); k.op == sys.OpOFD {
			r.lo = s.choose(modelBytes)
			r.hi = r.lo + s.choose(modelBytes-r.lo)
			n := r.hi - r.lo + 1
			if r.hi == modelBytes-1 {
				n = 0 // to the end of the file
			}
			r.l = r.l.Range(int64(r.lo), int64(n))
		}
		m.locks = append(m.locks, r)
	}
	for range 4 {
		p := m.locks[s.choose(len(m.locks))]
		m.locks = append(m.locks, &refLock{l: p.l.Nested(), parent: p, lo: p.lo, hi: p.hi})
	}
	return m
}

// step performs the next call of the script, and checks its effect.
func (m *refModel) step(t *testing.T, s *script) {
	r, mode := m.locks[s.choose(len(m.locks))], lock.Shared
	if s.choose(2) == 0 {
		mode = lock.Exclusive
	}
	switch what := s.choose(12); {
	case what < 5:
		m.request(t, r, mode)
	case what < 7:
		m.try(t, r, mode)
	case what < 8 && len(m.requests) > 0:
		m.requests[s.choose(len(m.requests))].cancel()
	default:
		err := r.l.Release()
		if held := r.mode != 0; held != (err == nil) {
			t.Fatalf("Release() = %v, held: %v", err, held)
		}
		r.mode = 0
	}
	synctest.Wait()
	m.observe(t)
	m.check(t)
}

func (m *refModel) waits(r *refLock) bool {
	return slices.ContainsFunc(m.requests, func(q *refRequest) bool { return q.refLock == r })
}

func (m *refModel) request(t *testing.T, r *refLock, mode lock.Mode) {
	if m.waits(r) {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	q := &refRequest{refLock: r, want: mode, cancel: cancel}
	m.requests = append(m.requests, q)
	r.l.AcquireFunc(ctx, mode, func(err error) { q.done, q.err = true, err })
}

// try checks that Try fails only if a lock or a request blocks it, and that it
// does fail then. Only a request whose lock holds, or is nested in one that
// does, may overtake one that waits: that may wait for the lock.
func (m *refModel) try(t *testing.T, r *refLock, mode lock.Mode) {
	if m.waits(r) {
		return
	}
	q := &refRequest{refLock: r, want: mode}
	q.noteHolds()
	blocked := mode > r.mode && slices.ContainsFunc(m.locks, q.blockedBy)
	behind := mode > r.mode && m.behind(q)
	err := r.l.Try(mode)
	switch {
	case err == nil && !blocked && (!behind || q.holds):
		r.mode = mode
	case err == nil, !blocked && !behind, !errors.Is(err, lock.ErrLocked), errors.Is(err, lock.ErrLockedHere) != blocked:
		t.Errorf("Try(%v) of [%d, %d] = %v, blocked: %v, behind another: %v", mode, r.lo, r.hi, err, blocked, behind)
	}
}

// behind reports whether q has to wait for another request.
func (m *refModel) behind(q *refRequest) bool {
	return slices.ContainsFunc(m.requests, func(o *refRequest) bool {
		return o != q && exclude(q.want, o.want) && q.overlaps(o.refLock) && !q.blocks(o)
	})
}

// observe takes note of the requests that have an outcome. None may have
// overtaken an earlier one that still waits and wants the same bytes, except if
// its lock, or one that this is nested in, holds: the earlier one may wait for
// that.
func (m *refModel) observe(t *testing.T) {
	var waiting []*refRequest
	var granted []func()
	for _, q := range m.requests {
		if !q.done {
			waiting = append(waiting, q)
			continue
		}
		q.cancel()
		switch {
		case q.err == nil:
			ahead := slices.Clone(waiting)
			granted = append(granted, func() { q.checkOrder(t, ahead) })
			q.noteHolds()
			q.mode = q.want
		case !errors.Is(q.err, context.Canceled) && !errors.Is(q.err, lock.ErrDeadlock):
			t.Errorf("the outcome is %v", q.err)
		}
	}
	m.requests = waiting
	for _, check := range granted { // now that the modes of all parents are known
		check()
	}
	for _, q := range waiting {
		q.noteHolds()
	}
}

func (q *refRequest) noteHolds() {
	for r := q.refLock; r != nil; r = r.parent {
		q.holds = q.holds || r.mode != 0
	}
}

func (q *refRequest) checkOrder(t *testing.T, ahead []*refRequest) {
	for r := q.parent; r != nil; r = r.parent {
		q.holds = q.holds || r.mode != 0
	}
	for _, o := range ahead {
		if !q.holds && exclude(q.want, o.want) && q.overlaps(o.refLock) {
			t.Errorf("%v of [%d, %d] was granted before %v of [%d, %d]", q.want, q.lo, q.hi, o.want, o.lo, o.hi)
		}
	}
}

// check checks what is held, that each request that waits has a reason, and
// that the system has the strongest mode of each byte.
func (m *refModel) check(t *testing.T) {
	for _, r := range m.locks {
		wantHeld(t, r.l, r.mode)
		for _, o := range m.locks {
			if r != o && r.overlaps(o) && exclude(r.mode, o.mode) && !r.within(o) && !o.within(r) {
				t.Errorf("%v of [%d, %d] and %v of [%d, %d] are held at once", r.mode, r.lo, r.hi, o.mode, o.lo, o.hi)
			}
		}
	}
	for _, q := range m.requests {
		if !slices.ContainsFunc(m.locks, q.blockedBy) && !m.behind(q) {
			t.Errorf("%v of [%d, %d] waits for no lock", q.want, q.lo, q.hi)
		}
	}
	m.checkSystem(t)
}

func (m *refModel) checkSystem(t *testing.T) {
	set := m.system.Set
	for at := range modelBytes {
		if m.kind.op == sys.OpOFD {
			hi := int64(at)
			if at == modelBytes-1 {
				hi = sys.EndOfFile
			}
			set = func(mode sys.LockMode) error { return m.system.SetRange(int64(at), hi, mode) }
		} else if at > 0 {
			break
		}
		var strongest lock.Mode
		for _, r := range m.locks {
			if r.lo <= at && at <= r.hi {
				strongest = max(strongest, r.mode)
			}
		}
		for _, mode := range []lock.Mode{lock.Shared, lock.Exclusive} {
			if err := set(sys.LockMode(mode)); exclude(mode, strongest) != (err != nil) {
				t.Errorf("byte %d, held %v: %v from outside = %v", at, strongest, mode, err)
			}
		}
		if err := set(sys.Unlocked); err != nil {
			t.Fatal(err)
		}
	}
}

// close releases all that hold, and those that are granted then, until none is
// left.
func (m *refModel) close(t *testing.T) {
	for range 2 * len(m.locks) {
		for _, r := range m.locks {
			if r.mode != 0 {
				release(t, r.l)
				r.mode = 0
				m.observe(t)
				m.check(t)
			}
		}
	}
	if len(m.requests) != 0 {
		t.Errorf("%d wait for ever", len(m.requests))
	}
	for _, f := range append(m.files[:], m.outside) {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := lock.Entries(); n != 0 {
		t.Errorf("%d entries are left in the table", n)
	}
}

// run runs a script from its beginning to its end.
func (s script) run(t *testing.T, k kind, name string) {
	m := newModel(t, k, name, &s)
	for len(s) > 0 {
		if m.step(t, &s); t.Failed() {
			return
		}
	}
	m.close(t)
}

// TestAgainstModel has locks of two files, nested ones among them, requested,
// tried, given up, converted and released at random.
func TestAgainstModel(t *testing.T) {
	seed := testutil.Seed(t)
	scripts := 60
	if testing.Short() {
		scripts = 10
	}
	still(t, func(t *testing.T, k kind) {
		r := rand.NewChaCha8([32]byte(binary.LittleEndian.AppendUint64(make([]byte, 24), seed)))
		name := tempFile(t)
		for range scripts {
			s := make(script, 400)
			r.Read(s)
			if s.run(t, k, name); t.Failed() {
				return
			}
		}
	})
}

// FuzzLock runs any script. (Go may seem to hang while it minimizes a find:
// -fuzzminimizetime=10x.)
func FuzzLock(f *testing.F) {
	for _, k := range kinds {
		k.require(f)
	}
	name := tempFile(f)
	f.Add(false, []byte("0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Add(true, []byte("the quick brown fox jumps over the lazy dog, again and again"))
	f.Fuzz(func(t *testing.T, ranged bool, s []byte) {
		k := kinds[0]
		if ranged {
			k = kinds[1]
		}
		synctest.Test(t, func(t *testing.T) { script(s[:min(len(s), 400)]).run(t, k, name) }) // longer ones find no more
	})
}
