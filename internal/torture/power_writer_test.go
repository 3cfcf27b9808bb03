package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// ordersEnv has the orders of a writer process.
const ordersEnv = "TORTURE_ORDERS"

// orders are what a writer is to do.
type orders struct {
	Dir    string // of the file system
	Disk   string // its disk's own
	Seed   uint64
	Hands  int    // goroutines
	Rounds int    // of each
	Sparse bool   // the store gets no blocks ahead
	Room   int64  // address space for the store to grow in
	Large  bool   // the log has large records
	Break  string // what the writer leaves out, to see it missed
}

// What a writer can leave out.
const (
	breakFlush  = "FlushRange"            // its futures resolve, and nothing was flushed
	breakParent = "sync of the directory" // as if the file system had none to offer
	breakGroup  = "end of the batch"      // a request is served by the flush that was running when it came
)

// An event is one thing that has been reported durable to the writer, which
// prints it as a line of JSON.
type event struct {
	Began, Ended int64 // records in the disk's log before it began, and once it was acknowledged
	Kind         string
	Name         string // of the file
	Slot         int64  // of a record
	Version      uint32 // of a record
	State        state  // of a file that is no store
}

// The kinds of events.
const (
	recordKind = "record"
	lengthKind = "length of the store"
	createKind = "created file"
	resizeKind = "length of a file"
	copyKind   = "copy"
	renameKind = "renamed file"
	removeKind = "removed file"
)

// A state is what a name means: nothing, or a file of Len bytes, of which the
// first Filled are the letters from Off on of files with the salt, and the rest
// zeroes.
type state struct {
	There            bool
	Off, Len, Filled int64
	Salt             byte
}

func (s state) bytes() []byte {
	b := make([]byte, s.Len)
	copy(b, pattern(s.Off, int(s.Filled), s.Salt))
	return b
}

// slotSize is the size of a record, which fits neither sectors nor pages. Each
// of its words tells its place and the version of the record.
const slotSize = 1000

// word is what a store has at off in a record of that version.
func word(off int64, version uint32) uint64 {
	return uint64(version)<<32 | uint64(uint32(off/8)*2654435761|1)
}

// storeName is the file of the records.
const storeName = "store"

// A writer is the process whose disk loses its power.
type writer struct {
	orders
	position *disk.Position
	pool     *async.Pool
	store    *async.File
	back     *async.Background
	late     lateGroup
	slots    atomic.Int64
	grow     sync.Mutex // held while the store becomes longer
	out      sync.Mutex // held while a line is written
}

// write is the role of a writer.
func write() (err error) {
	w := &writer{}
	if err := json.Unmarshal([]byte(os.Getenv(ordersEnv)), &w.orders); err != nil {
		return err
	}
	if w.Break == breakParent {
		defer sys.Inject(func(op sys.Op) error {
			if op == sys.OpFsyncDir {
				return errors.ErrUnsupported
			}
			return nil
		})()
	}
	if w.position, err = disk.OpenPosition(w.Disk); err != nil {
		return err
	}
	defer w.position.Close()
	if w.pool, err = async.NewPool(async.PoolOptions{}); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(w.Seed, 0))
	outcomes := make(chan error, w.Hands)
	for i := range w.Hands {
		h := &hand{writer: w, id: i, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0)), versions: map[int64]uint32{}, files: map[string]state{}}
		go func() { outcomes <- h.run() }()
	}
	for range w.Hands {
		err = errors.Join(err, <-outcomes)
	}
	return errors.Join(err, w.store.Close(), w.pool.Close())
}

// open makes the store, of which nothing is told: its name is durable with the
// first record.
func (w *writer) open() (err error) {
	w.store, err = async.Open(bg, w.pool, filepath.Join(w.Dir, storeName), core.Options{
		Access: core.ReadWrite, Create: true, Size: 3 * slotSize, Sparse: w.Sparse, Reserve: w.Room,
		WrittenAhead: !w.Sparse && w.Seed%2 == 0, // then more stores are through the map
	}).Await(bg)
	if err != nil {
		return err
	}
	w.late.flush = w.store.Core().Flush
	w.back, err = w.store.StartBackground(flush.Policy{})
	return err
}

// do calls act, and prints the events that it has made durable.
func (w *writer) do(act func() error, events ...event) error {
	began := w.position.Load()
	if err := act(); err != nil {
		return fmt.Errorf("%s %s: %w", events[0].Kind, events[0].Name, err)
	}
	ended := w.position.Load()
	w.out.Lock()
	defer w.out.Unlock()
	for _, e := range events {
		e.Began, e.Ended = began, ended
		if err := json.NewEncoder(os.Stdout).Encode(e); err != nil {
			return err
		}
	}
	return nil
}

// commit makes [off, off+n) of the store durable, in one of the ways there are.
func (w *writer) commit(rnd *rand.Rand, off, n int64) error {
	switch w.Break {
	case breakFlush:
		return nil
	case breakGroup:
		return w.late.commit()
	}
	switch way := rnd.IntN(10); {
	case way == 0:
		return w.store.Flush().Wait()
	case way == 1:
		return w.back.Barrier().Wait()
	case way == 2:
		return async.All(w.store.FlushRange(off, n/2), w.store.FlushRange(off+n/2, n-n/2)).Wait()
	}
	return w.store.FlushRange(off, n).Wait()
}

// flushFile makes a whole file durable that is no store.
func (w *writer) flushFile(f *async.File) error {
	if w.Break == breakFlush {
		return nil
	}
	return f.Flush().Wait()
}

// reach makes the store at least size bytes long.
func (w *writer) reach(size int64) error {
	w.grow.Lock()
	defer w.grow.Unlock()
	if w.store.Core().Len() >= size {
		return nil
	}
	return w.store.Truncate(bg, size).Wait()
}

// A lateGroup is a group commit that is wrong by one: a flush that runs serves
// also the requests that came while it ran.
type lateGroup struct {
	flush   func() error
	mu      sync.Mutex
	running chan struct{} // closed when the flush is over; nil when none runs
	err     error         // of the last
}

func (g *lateGroup) commit() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if running := g.running; running != nil {
		g.mu.Unlock()
		<-running
		g.mu.Lock()
		return g.err
	}
	running := make(chan struct{})
	g.running = running
	g.mu.Unlock()
	err := g.flush()
	g.mu.Lock()
	g.running, g.err = nil, err
	close(running)
	return err
}
