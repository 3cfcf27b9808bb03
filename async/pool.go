package async

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/fmmap-go/fmmap/internal/lane"
	"github.com/fmmap-go/fmmap/latency"
)

// PoolOptions describe a pool to [NewPool]; the zero value is right for a
// server.
type PoolOptions struct {
	// Executor supplies the goroutines. Nil means [Goroutines].
	Executor Executor

	// Short, Flush, Page and Meta shape the lanes. By default Short is as
	// wide as GOMAXPROCS and Page has one worker per device. Flush has two per
	// device, or one if GOMAXPROCS is 1, and Meta two, or one if GOMAXPROCS is 4
	// or less: their work is in system calls that may keep a P each. Every queue
	// holds 1024. A wider Flush makes more files durable at a time.
	//
	// Flush and Page are the shapes of a lane per device. A device has one while
	// there is work for it, up to 16; more devices than that share them.
	//
	// Meta is the shape of three queues with workers of their own: one for copies
	// of files, one for closing them, and one for the rest.
	Short, Flush, Page, Meta LaneOptions

	// Hooks observe the tasks. Setting any costs two clock readings per task.
	Hooks Hooks

	// CrashOnPanic ends the process when a task panics, after OnPanic, with
	// the task's stack, instead of resolving its future with a [*PanicError].
	CrashOnPanic bool
}

// LaneOptions shape one lane.
type LaneOptions struct {
	Width int // tasks that may run at once; 0 means the default
	Queue int // tasks that may wait beyond those; 0 means 1024
}

const defaultQueue = 1024

// A Pool runs tasks in four lanes, see [Lane], each a queue with a width of its
// own over one [Executor]. No lane waits for another, and on the lanes Flush and
// Page no device for another. Its methods may be called
// concurrently. While a pool has nothing to do it owns no goroutine, and one
// that is no longer used may be dropped without Close.
type Pool struct {
	group    *lane.Group
	pagers   pagers
	flushers flushers
	granted  grants

	// Of LaneMeta, for what may take long: copying files, and unmapping them.
	copies, closings *lane.Lane

	flushWait, flushRun latency.Recorder // of the committers of its files

	endless bool // it is the default pool
}

// NewPool returns a pool. It fails if a width or a queue length is negative.
func NewPool(o PoolOptions) (*Pool, error) { return newPool(o, false) }

var defaultPool = sync.OnceValue(func() *Pool {
	p, err := newPool(PoolOptions{}, true)
	if err != nil {
		panic(err) // the zero options are valid
	}
	return p
})

// Default returns the pool of the process, with the default options. It is made
// when first asked for and cannot be closed. Where a function takes a pool, nil
// stands for it.
//
// Tests in a testing/synctest bubble should make a pool of their own and close
// it: a worker of the default pool may belong to another bubble.
func Default() *Pool { return defaultPool() }

// orDefault returns p, or the default pool if p is nil.
func (p *Pool) orDefault() *Pool {
	if p == nil {
		return Default()
	}
	return p
}

// lane returns a lane of p, or of the default pool if p is nil.
func (p *Pool) lane(l Lane) *lane.Lane { return p.orDefault().group.Lane(int(l)) }

func newPool(o PoolOptions, endless bool) (*Pool, error) {
	if o.Executor == nil {
		o.Executor = Goroutines()
	}
	lo := lane.Options{Start: o.Executor.Submit, Endless: endless, Hooks: o.hooks()}
	switch o.Executor.(type) {
	case goroutines:
	case inline:
		lo.Inline = true
	default:
		lo.Pooled = true
	}
	procs := runtime.GOMAXPROCS(0)
	meta := 2
	if procs <= 4 {
		meta = 1
	}
	for i, x := range [lanes]struct {
		LaneOptions
		width int // by default
	}{
		LaneShort: {o.Short, procs},
		LaneFlush: {o.Flush, min(procs, 2)},
		LanePage:  {o.Page, 1},
		LaneMeta:  {o.Meta, meta},
	} {
		switch {
		case x.Width < 0:
			return nil, fmt.Errorf("async: lane %v: Width %d is negative: %w", Lane(i), x.Width, fs.ErrInvalid)
		case x.Queue < 0:
			return nil, fmt.Errorf("async: lane %v: Queue %d is negative: %w", Lane(i), x.Queue, fs.ErrInvalid)
		}
		if x.Width == 0 {
			x.Width = x.width
		}
		if x.Queue == 0 {
			x.Queue = defaultQueue
		}
		lo.Lanes = append(lo.Lanes, lane.Shape{Width: x.Width, Queue: x.Queue})
	}
	p := &Pool{group: lane.New(lo), endless: endless}
	p.copies, p.closings = p.group.Add(int(LaneMeta)), p.group.Add(int(LaneMeta))
	p.granted.lane = p.group.Lane(int(LaneMeta))
	p.pagers = pagers{devices: make(map[deviceKey]*device), lanes: newDeviceLanes(p.group, LanePage)}
	p.flushers = flushers{devices: make(map[uint64]*flusher), lanes: newDeviceLanes(p.group, LaneFlush)}
	return p, nil
}

// Done returns a channel that is closed when the pool has been closed and its
// last task has returned. The default pool's is nil, as it is never closed.
func (p *Pool) Done() <-chan struct{} { return p.group.Done() }

// Close is [Pool.CloseContext] without an end to the wait. A task must not call
// it for its own pool.
func (p *Pool) Close() error { return p.CloseContext(context.Background()) }

// CloseContext closes the pool. From its beginning on, new work fails with
// [ErrClosed], and so do calls of [GoWait] that wait for room and openings that
// wait for a lock. Queued and
// running work is allowed to finish, and CloseContext returns nil: no task of
// the pool runs, or ever will, and none of its goroutines is left.
//
// When ctx is done before that, queued work fails with ErrClosed, the contexts
// of running work end with that cause, and CloseContext returns
// context.Cause(ctx) without waiting any longer; Done reports when the last
// task has returned. An idle pool is closed whatever ctx is.
//
// It may be called repeatedly and concurrently: each call waits for the end as
// if it were the first. In a task of the pool, with that task's context, it
// returns [ErrSelfWait] and does nothing; with another context it waits for the
// task that called it. For the [Default] pool it returns
// [errors.ErrUnsupported].
func (p *Pool) CloseContext(ctx context.Context) error {
	if p.endless {
		return errEndless
	}
	return p.group.Close(ctx)
}

var errEndless = fmt.Errorf("async: closing the default pool: %w", errors.ErrUnsupported)

// Lane names one of the queues of a [Pool].
type Lane uint8

const (
	LaneShort Lane = iota // tasks of [Go] and [Then], copying reads and writes
	LaneFlush             // making bytes durable
	LanePage              // bringing pages in, in a queue per device
	LaneMeta              // opening, resizing, removing; copying and closing, in queues of their own
	lanes
)

// String returns the lane's name in lower case.
func (l Lane) String() string {
	switch l {
	case LaneShort:
		return "short"
	case LaneFlush:
		return "flush"
	case LanePage:
		return "page"
	case LaneMeta:
		return "meta"
	}
	return "unknown"
}

// Stats describe what a [Pool] has done, lane by lane, and how long the files
// that use it had to wait. They are plain data, fit for expvar and JSON.
type Stats struct {
	Short LaneStats `json:"short"`
	Flush LaneStats `json:"flush"`
	Page  LaneStats `json:"page"`
	Meta  LaneStats `json:"meta"`

	// Of all files that use the pool, those closed by now included: see
	// [FileStats] and [flush.Stats].
	PageIn    latency.Histogram `json:"page_in"`
	FlushWait latency.Histogram `json:"flush_wait"`
	FlushRun  latency.Histogram `json:"flush_run"`
}

// LaneStats describe one lane. The counts of a future's task include it by the
// time the future is resolved. The lanes Flush and Page have a queue and workers for
// each device, and the lane Meta for copies, for closings and for the rest: Width and
// Queue are those of one of them, the counts those of all together, and
// LongestWait is the longest of any.
type LaneStats struct {
	Width      int    `json:"width"`      // how many tasks may run at once
	Queue      int    `json:"queue"`      // how many may wait for that
	Queued     int    `json:"queued"`     // waiting now
	Waiting    int    `json:"waiting"`    // calls of GoWait that wait for room
	Running    int    `json:"running"`    // running now
	Done       uint64 `json:"done"`       // ran to an end, whatever the outcome
	Panicked   uint64 `json:"panicked"`   // those of them that panicked
	Dropped    uint64 `json:"dropped"`    // accepted but never run: cancelled, context done, pool closed
	Overloaded uint64 `json:"overloaded"` // refused with ErrOverloaded

	// LongestWait is the longest time that a task was queued. With Hooks
	// every task is timed. Without, as reading the clock twice costs a third
	// of a task, a sample is: every sixteenth, and the first that has to wait
	// for a worker, which waits longest if one is stuck.
	LongestWait time.Duration `json:"longest_wait_ns"`
}

// Stats returns a snapshot. The figures of one lane belong together; different
// lanes, and the pagers of different devices, are read one after the other. It
// may be called at any time.
func (p *Pool) Stats() Stats {
	p = p.orDefault()
	return Stats{
		Short: LaneStats(p.lane(LaneShort).Stats()),
		Flush: LaneStats(p.flushers.lanes.stats(&p.flushers.mu)),
		Page:  LaneStats(p.pagers.lanes.stats(&p.pagers.mu)),
		Meta:  LaneStats(p.lane(LaneMeta).Stats().Plus(p.copies.Stats()).Plus(p.closings.Stats())),

		PageIn:    p.pagers.pageIn.Histogram(),
		FlushWait: p.flushWait.Histogram(),
		FlushRun:  p.flushRun.Histogram(),
	}
}

// Hooks are called at the events of a pool's tasks; each may be nil. op names
// the operation: "go", "flush" and so on. They are called on the goroutine
// where the event happens, while the task's future is still pending, under no
// lock; they must be safe for concurrent use, must not block and not panic.
type Hooks struct {
	OnStart func(l Lane, op string, waited time.Duration)         // a worker begins with a task
	OnDone  func(l Lane, op string, ran time.Duration, err error) // it has ended; err is its outcome
	OnDrop  func(l Lane, op string, err error)                    // a queued task will never run
	OnPanic func(l Lane, op string, err *PanicError)              // before OnDone
}

// hooks returns the hooks of the pool's lanes.
func (o PoolOptions) hooks() (h lane.Hooks) {
	if f := o.Hooks.OnStart; f != nil {
		h.OnStart = func(l int, op *lane.Op, waited time.Duration) { f(Lane(l), op.String(), waited) }
	}
	if f := o.Hooks.OnDone; f != nil {
		h.OnDone = func(l int, op *lane.Op, ran time.Duration, err error) { f(Lane(l), op.String(), ran, err) }
	}
	if f := o.Hooks.OnDrop; f != nil {
		h.OnDrop = func(l int, op *lane.Op, err error) { f(Lane(l), op.String(), err) }
	}
	onPanic, crash := o.Hooks.OnPanic, o.CrashOnPanic
	h.Unwound = func(l int, op *lane.Op, value any) error {
		if value == nil {
			return ErrGoexit
		}
		err := &PanicError{Value: value, Stack: debug.Stack()}
		if onPanic != nil {
			onPanic(Lane(l), op.String(), err)
		}
		if crash {
			crashWith(err)
		}
		return err
	}
	return h
}

// crashWith ends the process with a panic that nothing can recover, neither the
// task's callers nor an executor.
func crashWith(err *PanicError) {
	go panic(fmt.Sprintf("%v\n\n%s", err, err.Stack))
	select {} // until that has happened
}
