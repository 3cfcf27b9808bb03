package flush_test

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// disk is a target in which only what FlushRange has covered is durable, and of
// that only what memory held when the call began: the hardest that a device may
// be on a committer. Memory is a heap witness, in which the race detector sees
// what it would not see in a mapping.
type disk struct {
	memory, durable []atomic.Uint64
	running         atomic.Int32
	fail            func() error
}

func newDisk(cells int) *disk {
	return &disk{memory: make([]atomic.Uint64, cells), durable: make([]atomic.Uint64, cells)}
}

func (d *disk) Len() int64 { return int64(len(d.memory)) }

func (d *disk) FlushRange(off, n int64) error {
	if d.running.Add(1) != 1 {
		return errors.New("two calls at a time")
	}
	defer d.running.Add(-1)
	if d.fail != nil {
		if err := d.fail(); err != nil {
			return err
		}
	}
	at := make([]uint64, n)
	for i := range at {
		at[i] = d.memory[off+int64(i)].Load()
	}
	for range rand.IntN(4) {
		yield() // others store and ask meanwhile
	}
	for i, v := range at {
		d.durable[off+int64(i)].Store(v)
	}
	return nil
}

// TestResolvedRequestsAreDurable is the model: whatever the interleaving, a
// request that resolved without an error is covered by a call that began after
// it was made. Each writer owns a cell, counts it up, and asks in one of all
// possible ways.
func TestResolvedRequestsAreDurable(t *testing.T) {
	seed := testutil.Seed(t)
	for _, e := range executors {
		t.Run(e.name, func(t *testing.T) { runModel(t, seed, e.execute, nil) })
	}
	t.Run("refusing", func(t *testing.T) {
		var n atomic.Int64
		runModel(t, seed, func(task func(error)) error {
			if n.Add(1)%3 == 0 {
				return errFull
			}
			go task(nil)
			return nil
		}, nil)
	})
	t.Run("failing disk", func(t *testing.T) {
		var n atomic.Int64
		runModel(t, seed, nil, func() error {
			switch n.Add(1) % 5 {
			case 0:
				return errDisk
			case 1:
				panic(errDisk)
			}
			return nil
		})
	})
}

func runModel(t *testing.T, seed uint64, execute func(func(error)) error, fail func() error) {
	const writers, rounds = 16, 150
	d := newDisk(writers)
	d.fail = fail
	c := flush.NewCommitter(d, flush.Options{Execute: execute, Gap: int64(seed % 4)})
	bg := flush.NewBackground(c, flush.Policy{DirtyBytes: 64})
	var resolved, refused atomic.Int64
	var wg sync.WaitGroup
	for w := range int64(writers) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			for v := uint64(1); v <= rounds; v++ {
				d.memory[w].Store(v)
				bg.MarkDirty(1)
				err := ask(t.Context(), c, bg, d, rnd, w)
				switch {
				case errors.Is(err, errFull), errors.Is(err, errDisk):
					refused.Add(1)
				case err != nil:
					t.Errorf("writer %d: %v", w, err)
				case d.durable[w].Load() < v:
					t.Errorf("writer %d received nil for %d, the disk has %d", w, v, d.durable[w].Load())
					return
				default:
					resolved.Add(1)
				}
			}
		})
	}
	wg.Wait()
	err := errors.Join(bg.Close(), c.Close())
	if err != nil && execute == nil && fail == nil {
		t.Error(err)
	}
	if n := resolved.Load() + refused.Load(); n != writers*rounds && !t.Failed() {
		t.Errorf("%d requests resolved, want %d", n, writers*rounds)
	}
	s := c.Stats()
	t.Logf("%d durable, %d refused or failed; %d batches, mean %.1f", resolved.Load(), refused.Load(), s.Batches, s.MeanBatch)
	if resolved.Load() == 0 || s.Waiting != 0 {
		t.Errorf("stats %+v: nothing was tested, or a request still waits", s)
	}
}

// ask makes the cell w durable in one of the ways there are, and returns the
// outcome.
func ask(ctx context.Context, c *flush.Committer, bg *flush.Background, d *disk, rnd *rand.Rand, w int64) error {
	switch rnd.IntN(6) {
	case 0:
		return c.Flush(context.Background(), w, 1)
	case 1:
		ctx, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		return c.Flush(ctx, w, 1)
	case 2:
		return c.Commit(0, d.Len()).Wait(ctx)
	case 3:
		return c.CommitAll().Wait(ctx)
	case 4:
		if err := bg.Barrier().Wait(ctx); !errors.Is(err, fs.ErrClosed) {
			return err
		}
		return c.Commit(w, 1).Wait(ctx)
	default:
		outcome := make(chan error, 1)
		c.Commit(w, 1).OnDone(func(err error) { outcome <- err })
		return <-outcome
	}
}
