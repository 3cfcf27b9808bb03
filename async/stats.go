package async

import "time"

// Lane names one of the queues of a [Pool].
type Lane uint8

const (
	LaneShort Lane = iota // tasks of [Go] and [Then], copying reads and writes
	LaneFlush             // making bytes durable
	LanePage              // bringing pages in
	LaneMeta              // opening, resizing, removing, closing
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

// Stats describe what a [Pool] has done, lane by lane. They are plain data,
// fit for expvar and JSON.
type Stats struct {
	Short LaneStats `json:"short"`
	Flush LaneStats `json:"flush"`
	Page  LaneStats `json:"page"`
	Meta  LaneStats `json:"meta"`
}

// LaneStats describe one lane. The counts of a future's task include it by the
// time the future is resolved.
type LaneStats struct {
	Width      int    `json:"width"`      // how many tasks may run at once
	Queue      int    `json:"queue"`      // how many may wait for that
	Queued     int    `json:"queued"`     // waiting now
	Waiting    int    `json:"waiting"`    // calls of GoWait that wait for room
	Running    int    `json:"running"`    // running now
	Done       uint64 `json:"done"`       // ran to an end, whatever that was
	Panicked   uint64 `json:"panicked"`   // of these, by a panic
	Dropped    uint64 `json:"dropped"`    // accepted but never run: cancelled, context done, pool closed
	Overloaded uint64 `json:"overloaded"` // refused with ErrOverloaded

	// LongestWait is the longest time that a task has been queued for. With
	// Hooks every task is timed. Without, as reading the clock twice costs a
	// third of a task, a sample is: every sixteenth, and the first that has
	// to wait for a worker, which waits longest if one is stuck.
	LongestWait time.Duration `json:"longest_wait_ns"`
}

// Stats returns a snapshot. Each lane's figures belong together; those of
// different lanes are read one after the other. It may be called at any time.
func (p *Pool) Stats() Stats {
	return Stats{
		Short: p.lanes[LaneShort].stats(),
		Flush: p.lanes[LaneFlush].stats(),
		Page:  p.lanes[LanePage].stats(),
		Meta:  p.lanes[LaneMeta].stats(),
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

// set reports whether any hook is.
func (h Hooks) set() bool {
	return h.OnStart != nil || h.OnDone != nil || h.OnDrop != nil || h.OnPanic != nil
}
