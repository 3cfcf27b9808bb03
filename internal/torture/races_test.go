package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

const (
	workers = 12
	own     = 8 * kib // bytes of the file that are one worker's, to store into
	shared  = workers * own
)

// A race is one file that many use at once in all ways; when it is closed,
// another takes its place.
type race struct {
	open   func() (*core.File, error)
	dir    string
	whole  bool // workers may load bytes that are not theirs: there are no stores, or the detector cannot see them
	stores bool

	pool    *async.Pool
	now     atomic.Pointer[sharedFile]
	opening sync.Mutex // held to close and open
	guards  []*os.File // of one file, each worker's own to lock

	pins    chan *core.Pin // for another goroutine to release
	cancels chan func()    // for another goroutine to call
	handing sync.WaitGroup // of the goroutines that hand over
	seen    tally          // operations that went well, by name; and outcomes
	wrong   atomic.Pointer[error]
}

// sharedFile is a file and what has been built on it.
type sharedFile struct {
	*async.File
	commits *flush.Committer  // of its own, beside that of the async file
	ground  *flush.Background // on commits
}

// Everything that the packages can do is done at once, by many, to the same
// file, with contexts that end at any moment. Nothing goes wrong, no byte is
// anybody else's, and in the end the process holds no goroutine, descriptor,
// mapping or lock more than before.
//
// The race detector sees nothing of mapped memory. So the same is done to a
// file on the heap, once with stores, each worker into bytes of its own, and
// once with loads of everything.
func TestRaces(t *testing.T) {
	heap := func() (*core.File, error) { return core.NewMemory("memory", make([]byte, shared, 2*shared)), nil }
	for _, r := range []*race{
		{dir: "file", whole: true, stores: true},
		{dir: "anonymous", whole: true, stores: true, open: func() (*core.File, error) {
			return core.NewAnonymous(shared, core.Options{})
		}},
		{dir: "heap, stores", stores: true, open: heap},
		{dir: "heap, loads", whole: true, open: heap},
	} {
		t.Run(r.dir, func(t *testing.T) {
			goroutines := goleak.IgnoreCurrent()
			testutil.NoLeaks(t)
			r.dir = t.TempDir()
			if r.open == nil {
				r.open = func() (*core.File, error) {
					return core.OpenFile(filepath.Join(r.dir, "file"), core.Options{Access: core.ReadWrite, Create: true, Size: shared, Reserve: shared})
				}
			}
			r.start(t)
			rnd := testutil.Rand(t)
			b := newBudget(40_000)
			var all, helpers sync.WaitGroup
			for range 2 {
				helpers.Go(r.help) // ends with the channels
			}
			for id := range workers {
				w := &worker{race: r, id: id, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0))}
				all.Go(func() { w.run(b) }) // ends with the budget
			}
			all.Wait()
			r.handing.Wait()
			close(r.pins)
			close(r.cancels)
			helpers.Wait()
			if err := r.wrong.Load(); err != nil {
				t.Error(*err)
			}
			r.end(t, b)
			if err := goleak.Find(goroutines); err != nil {
				t.Error(err)
			}
		})
	}
}

func (r *race) start(t *testing.T) {
	r.pool = must[*async.Pool](t)(async.NewPool(async.PoolOptions{}))
	for range workers {
		r.guards = append(r.guards, must[*os.File](t)(os.OpenFile(filepath.Join(r.dir, "guard"), os.O_RDWR|os.O_CREATE, 0o600)))
	}
	// Handing over must not hold up a worker for long: the next operation may
	// need what it would free.
	r.pins, r.cancels = make(chan *core.Pin), make(chan func())
	check(t, r.reopen(bg, nil))
}

// end closes everything and reports.
func (r *race) end(t *testing.T, b *budget) {
	done := []error{r.now.Load().ground.Close(), r.now.Load().commits.Close(), r.now.Load().Close()}
	for _, err := range done {
		if err := r.expected(err); err != nil {
			t.Error(err)
		}
	}
	check(t, r.pool.Close())
	for _, g := range r.guards {
		check(t, g.Close())
	}
	for _, op := range operations {
		if r.may(op) && r.seen.of(op.name) == 0 {
			t.Errorf("%s never went well", op.name)
		}
	}
	counted(t, "%d operations of %d kinds: %d went well, %d were cancelled, %d refused; %d files were opened", b.rounds.Load(), len(operations),
		r.seen.of("well"), r.seen.of("cancelled"), r.seen.of("refused"), r.seen.of("opened"))
}

// may reports whether the operation is one for this race.
func (r *race) may(op operation) bool {
	return (r.stores || !op.stores) && (r.whole || !op.whole)
}

// help releases and cancels for others.
func (r *race) help() {
	for pins, cancels := r.pins, r.cancels; pins != nil || cancels != nil; {
		select {
		case p, ok := <-pins:
			if !ok {
				pins = nil
				continue
			}
			p.Release()
		case cancel, ok := <-cancels:
			if !ok {
				cancels = nil
				continue
			}
			cancel()
		}
	}
}

// reopen closes the file and opens another, unless another goroutine does or
// has. The caller holds no pins.
func (r *race) reopen(ctx context.Context, f *sharedFile) error {
	r.opening.Lock()
	defer r.opening.Unlock()
	if r.now.Load() != f {
		return nil
	}
	if f != nil {
		err := errors.Join(r.expected(f.ground.CloseContext(ctx)), r.expected(f.commits.CloseContext(ctx)), r.expected(f.CloseContext(ctx)))
		if err != nil {
			return err
		}
	}
	fresh, err := r.open()
	if err != nil {
		return err
	}
	r.seen.add("opened", 1)
	c := flush.NewCommitter(fresh, flush.Options{})
	r.now.Store(&sharedFile{async.Wrap(r.pool, fresh), c, flush.NewBackground(c, flush.Policy{DirtyBytes: 64 * kib})})
	return nil
}

// errEnded is why contexts end.
var errEnded = errors.New("the context has ended")

// expected returns an error that should not be, and nil for others.
func (r *race) expected(err error) error {
	for _, is := range []error{
		nil, errEnded, context.Canceled, fs.ErrClosed, async.ErrClosed, async.ErrOverloaded, core.ErrRange, core.ErrReadOnly, flush.ErrRange,
		lock.ErrLocked, lock.ErrNotHeld, lock.ErrDeadlock, fs.ErrNotExist, fs.ErrExist, errors.ErrUnsupported, io.EOF, io.ErrUnexpectedEOF, io.ErrShortWrite, io.ErrShortBuffer,
	} {
		if errors.Is(err, is) {
			return nil
		}
	}
	return err
}

// A worker does one operation after the other.
type worker struct {
	*race
	id      int
	rnd     *rand.Rand
	pins    []*core.Pin // held, all of bytes that are its own
	cancels []func()
}

func (w *worker) run(b *budget) {
	for w.wrong.Load() == nil && b.next() {
		op := operations[w.rnd.IntN(len(operations))]
		if !w.may(op) || op.rare > 0 && w.rnd.IntN(op.rare) > 0 {
			continue
		}
		if op.waits { // perhaps for pins: not for one's own
			w.letGo()
		}
		f := w.now.Load()
		err := op.do(w, f)
		w.record(op, err)
		for _, cancel := range w.cancels {
			cancel()
		}
		w.cancels = nil
		if errors.Is(err, fs.ErrClosed) {
			w.letGo()
			w.record(operation{name: "opening again"}, w.reopen(bg, f))
		}
	}
	w.letGo()
}

// record counts an outcome, and remembers one that should not be.
func (w *worker) record(op operation, err error) {
	switch bad := w.expected(err); {
	case bad != nil:
		err = fmt.Errorf("%s: %w", op.name, err)
		w.wrong.CompareAndSwap(nil, &err)
	case err == nil:
		w.seen.add(op.name, 1)
		w.seen.add("well", 1)
	case errors.Is(err, errEnded), errors.Is(err, context.Canceled):
		w.seen.add("cancelled", 1)
	default:
		w.seen.add("refused", 1)
	}
}

// letGo releases all pins, some by another goroutine.
func (w *worker) letGo() {
	for _, p := range w.pins {
		if w.rnd.IntN(2) == 0 {
			p.Release()
		} else {
			w.race.pins <- p
		}
	}
	w.pins = nil
}

// ctx is a context that has ended, or will when it likes, or only after the
// operation.
func (w *worker) ctx() context.Context {
	ctx, cancel := context.WithCancelCause(bg)
	end := func() { cancel(errEnded) }
	switch w.rnd.IntN(4) {
	case 0:
		end()
	case 1:
		w.soon(end)
	}
	w.cancels = append(w.cancels, end)
	return ctx
}

// soon has another goroutine call fn, at any moment from now on.
func (w *worker) soon(fn func()) { w.handing.Go(func() { w.race.cancels <- fn }) }

// mine is a place among the worker's own bytes.
func (w *worker) mine() (off, n int64) {
	off = w.rnd.Int64N(own)
	return int64(w.id)*own + off, w.rnd.Int64N(own - off + 1)
}

// any is a place in the file; for races in which that is no data race it may be
// anybody's.
func (w *worker) any() (off, n int64) {
	if !w.whole {
		return w.mine()
	}
	off = w.rnd.Int64N(shared)
	return off, w.rnd.Int64N(shared - off + 1)
}
