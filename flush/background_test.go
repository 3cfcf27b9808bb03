package flush_test

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/flush"
)

// journal is a target that notes its calls, in fake time since it was made.
type journal struct {
	start      time.Time
	length     int64
	flushErr   error // of all flushes
	good       int   // but this many first ones
	writeErr   error
	writeTakes time.Duration
	flushTakes time.Duration

	mu     sync.Mutex
	events []event
}

type event struct {
	at   time.Duration
	what string
}

func newJournal() *journal { return &journal{start: time.Now(), length: 1 << 20} }

func (j *journal) note(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, event{time.Since(j.start), what})
}

func (j *journal) Len() int64 { return j.length }

func (j *journal) FlushRange(off, n int64) error {
	if off != 0 || n != j.length {
		j.note("flush of a part")
	}
	j.note("flush")
	j.mu.Lock()
	good := j.good > 0
	j.good--
	j.mu.Unlock()
	if j.flushTakes > 0 {
		<-time.After(j.flushTakes)
	}
	if good {
		return nil
	}
	return j.flushErr
}

func (j *journal) StartWriteback(off, n int64) error {
	if off != 0 || n != j.length {
		j.note("write-back of a part")
	}
	j.note("write-back")
	if j.writeTakes > 0 {
		<-time.After(j.writeTakes)
	}
	return j.writeErr
}

// expect fails the test unless exactly these events have happened since the
// last call.
func (j *journal) expect(t *testing.T, want ...event) {
	t.Helper()
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.events, want) {
		t.Errorf("events %v, want %v", j.events, want)
	}
	j.events = nil
}

// pass lets fake time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

const ms = time.Millisecond

// inBubble runs fn in a bubble of fake time with a background over a journal,
// and stops it.
func inBubble(t *testing.T, p flush.Policy, fn func(t *testing.T, j *journal, bg *flush.Background)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		c := flush.NewCommitter(j, flush.Options{})
		bg := flush.NewBackground(c, p)
		fn(t, j, bg)
		if t.Failed() {
			return
		}
		closeErr := bg.Close()
		j.mu.Lock()
		n := len(j.events)
		j.mu.Unlock()
		pass(time.Hour)
		j.mu.Lock()
		defer j.mu.Unlock()
		if len(j.events) != n {
			t.Errorf("after Close (%v) there were still %v", closeErr, j.events[n:])
		}
	})
}

func TestIntervalFlushesOnlyWhatIsDirty(t *testing.T) {
	p := flush.Policy{Interval: 100 * ms, NoEarlyWriteback: true}
	inBubble(t, p, func(t *testing.T, j *journal, bg *flush.Background) {
		pass(time.Hour)
		j.expect(t)
		bg.MarkDirty(1)
		pass(50 * ms)
		bg.MarkDirty(1) // belongs to the same flush, whose time it does not move
		pass(49 * ms)
		j.expect(t)
		pass(1 * ms)
		j.expect(t, event{time.Hour + 100*ms, "flush"})
		pass(time.Hour)
		j.expect(t)
		bg.MarkDirty(1)
		pass(time.Second)
		j.expect(t, event{2*time.Hour + 200*ms, "flush"})
	})
}

func TestDirtyBytesFlushAtOnce(t *testing.T) {
	p := flush.Policy{DirtyBytes: 1000, NoEarlyWriteback: true}
	inBubble(t, p, func(t *testing.T, j *journal, bg *flush.Background) {
		bg.MarkDirty(999)
		bg.MarkDirty(0)
		bg.MarkDirty(-5)
		pass(time.Hour)
		j.expect(t)
		bg.MarkDirty(1)
		j.expect(t, event{time.Hour, "flush"})
		bg.MarkDirty(math.MaxInt64)
		j.expect(t, event{time.Hour, "flush"})
		bg.MarkDirty(999)
		pass(time.Hour)
		j.expect(t)
	})
}

func TestBothLimitsWhicheverComesFirst(t *testing.T) {
	p := flush.Policy{Interval: 100 * ms, DirtyBytes: 1000, NoEarlyWriteback: true}
	inBubble(t, p, func(t *testing.T, j *journal, bg *flush.Background) {
		bg.MarkDirty(1)
		pass(100 * ms)
		j.expect(t, event{100 * ms, "flush"})
		bg.MarkDirty(1)
		pass(30 * ms)
		bg.MarkDirty(1000)
		j.expect(t, event{130 * ms, "flush"})
		pass(70 * ms) // the old interval would end here
		j.expect(t)
		bg.MarkDirty(1)
		pass(99 * ms)
		j.expect(t)
		pass(1 * ms)
		j.expect(t, event{300 * ms, "flush"})
	})
}

func TestWritebackStartsHalfway(t *testing.T) {
	t.Run("to the interval", func(t *testing.T) {
		inBubble(t, flush.Policy{Interval: 100 * ms}, func(t *testing.T, j *journal, bg *flush.Background) {
			bg.MarkDirty(1)
			pass(time.Second)
			j.expect(t, event{50 * ms, "write-back"}, event{100 * ms, "flush"})
		})
	})
	t.Run("to the bytes", func(t *testing.T) {
		inBubble(t, flush.Policy{DirtyBytes: 1000}, func(t *testing.T, j *journal, bg *flush.Background) {
			bg.MarkDirty(499)
			j.expect(t)
			bg.MarkDirty(1)
			bg.MarkDirty(1)
			j.expect(t, event{0, "write-back"})
			bg.MarkDirty(499)
			j.expect(t, event{0, "flush"})
			bg.MarkDirty(500)
			j.expect(t, event{0, "write-back"})
		})
	})
	t.Run("to more bytes than there are", func(t *testing.T) {
		inBubble(t, flush.Policy{DirtyBytes: math.MaxInt64}, func(t *testing.T, j *journal, bg *flush.Background) {
			bg.MarkDirty(1)
			pass(time.Hour)
			j.expect(t)
		})
	})
	t.Run("of whichever comes first, once", func(t *testing.T) {
		p := flush.Policy{Interval: 100 * ms, DirtyBytes: 1000}
		inBubble(t, p, func(t *testing.T, j *journal, bg *flush.Background) {
			bg.MarkDirty(1)
			pass(50 * ms)
			bg.MarkDirty(600)
			pass(50 * ms)
			j.expect(t, event{50 * ms, "write-back"}, event{100 * ms, "flush"})
		})
	})
	t.Run("unless the target cannot", func(t *testing.T) {
		inBubble(t, flush.Policy{Interval: 100 * ms}, func(t *testing.T, j *journal, bg *flush.Background) {
			j.writeErr = errors.ErrUnsupported
			bg.MarkDirty(1)
			pass(time.Second)
			j.expect(t, event{50 * ms, "write-back"}, event{100 * ms, "flush"})
			bg.MarkDirty(1)
			pass(time.Second)
			j.expect(t, event{1100 * ms, "flush"})
		})
	})
}

func TestPauseSuspendsTheLimitsAndResumeCountsAnew(t *testing.T) {
	p := flush.Policy{Interval: 100 * ms, DirtyBytes: 1000, NoEarlyWriteback: true}
	inBubble(t, p, func(t *testing.T, j *journal, bg *flush.Background) {
		bg.MarkDirty(1)
		pass(50 * ms)
		bg.Pause()
		pass(time.Second)
		bg.Resume()
		pass(99 * ms)
		j.expect(t)
		pass(1 * ms)
		j.expect(t, event{1150 * ms, "flush"})

		bg.Pause()
		bg.MarkDirty(5000)
		pass(time.Second)
		j.expect(t)
		bg.Force()
		j.expect(t, event{2150 * ms, "flush"})
		bg.MarkDirty(5000)
		bg.Resume()
		j.expect(t, event{2150 * ms, "flush"})
		bg.Pause()
		for range 5 {
			bg.MarkDirty(math.MaxInt64) // more than can be counted
		}
		bg.Resume()
		j.expect(t, event{2150 * ms, "flush"})
		bg.Pause()
		bg.Resume()
		pass(time.Hour) // nothing is dirty
		j.expect(t)
	})
}

func TestForceFlushesOnlyWhatIsDirty(t *testing.T) {
	inBubble(t, flush.Policy{}, func(t *testing.T, j *journal, bg *flush.Background) {
		bg.Force()
		j.expect(t)
		bg.MarkDirty(1)
		pass(time.Hour)
		j.expect(t)
		bg.Force()
		bg.Force()
		j.expect(t, event{time.Hour, "flush"})
	})
}

func TestBarrierIsDoneAfterAFlushThatBeganAfterIt(t *testing.T) {
	inBubble(t, flush.Policy{Interval: 100 * ms}, func(t *testing.T, j *journal, bg *flush.Background) {
		j.flushTakes = 10 * ms
		first := bg.Barrier() // nothing is dirty
		pass(5 * ms)
		bg.MarkDirty(1)
		second := bg.Barrier()
		if err := first.Wait(t.Context()); err != nil || isDone(second) {
			t.Errorf("first barrier %v; second done %v, want false", err, isDone(second))
		}
		if err := second.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		pass(time.Hour) // the mark has been dealt with
		j.expect(t, event{0, "flush"}, event{10 * ms, "flush"})
	})
}

// TestAMarkMadeDuringARequestBelongsToTheNextFlush: marks are counted anew just
// before a flush is requested, by the timer and by Barrier. One that comes in
// between is never lost, and one that came before causes no second flush.
func TestAMarkMadeDuringARequestBelongsToTheNextFlush(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin func(bg *flush.Background)
		marks int // made while the flush is being requested
		want  []event
	}{
		{"interval", func(*flush.Background) {}, 0, []event{{100 * ms, "flush"}}},
		{"interval, mark", func(*flush.Background) {}, 1, []event{{100 * ms, "flush"}, {200 * ms, "flush"}}},
		{"barrier", func(bg *flush.Background) { _ = bg.Barrier() }, 0, []event{{0, "flush"}}},
		{"barrier, mark", func(bg *flush.Background) { _ = bg.Barrier() }, 1, []event{{0, "flush"}, {100 * ms, "flush"}}},
		{"force, mark", func(bg *flush.Background) { bg.Force() }, 1, []event{{0, "flush"}, {100 * ms, "flush"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJournal()
				var bg *flush.Background
				c := flush.NewCommitter(j, flush.Options{Execute: func(task func(error)) error {
					if tt.marks > 0 {
						tt.marks--
						bg.MarkDirty(1)
					}
					return spawn(task)
				}})
				bg = flush.NewBackground(c, flush.Policy{Interval: 100 * ms, NoEarlyWriteback: true})
				bg.MarkDirty(1)
				tt.begin(bg)
				pass(time.Second)
				j.expect(t, tt.want...)
				if err := bg.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestMarksNeverWaitAndAreNeverLost(t *testing.T) {
	const writers, rounds = 8, 300
	d := newDisk(writers)
	c := flush.NewCommitter(d, flush.Options{})
	bg := flush.NewBackground(c, flush.Policy{Interval: ms, DirtyBytes: 50})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for v := range uint64(rounds) {
				d.memory[w].Store(v + 1)
				bg.MarkDirty(1)
				if v%50 == 0 {
					yield()
				}
			}
		})
	}
	wg.Wait()
	// A limit, not Close, must bring the last marks to the disk.
	deadline := time.After(30 * time.Second)
	for w := range d.durable {
		for d.durable[w].Load() != rounds {
			select {
			case <-deadline:
				t.Fatalf("writer %d: %d on the disk, want %d", w, d.durable[w].Load(), rounds)
			case <-time.After(ms):
			}
		}
	}
	if err := errors.Join(bg.Close(), c.Close()); err != nil {
		t.Error(err)
	}
}

func TestMarkDirtyAllocatesNothing(t *testing.T) {
	bg := flush.NewBackground(flush.NewCommitter(&recorder{}, flush.Options{}), flush.Policy{})
	if n := testing.AllocsPerRun(100, func() { bg.MarkDirty(1) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
