package flush_test

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/flush"
)

func TestCloseFlushesOnceMore(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup func(bg *flush.Background)
		want  []event
	}{
		{"clean", func(*flush.Background) {}, []event{{0, "flush"}}},
		{"dirty", func(bg *flush.Background) { bg.MarkDirty(1) }, []event{{0, "flush"}}},
		{"paused", func(bg *flush.Background) { bg.MarkDirty(1); bg.Pause() }, []event{{0, "flush"}}},
		{"flushing", func(bg *flush.Background) { _ = bg.Barrier(); synctest.Wait() }, []event{{0, "flush"}, {10 * ms, "flush"}}},
		{"writing back", func(bg *flush.Background) { bg.MarkDirty(1); pass(50 * ms) }, []event{{50 * ms, "write-back"}, {80 * ms, "flush"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, flush.Policy{Interval: 100 * ms}, func(t *testing.T, j *journal, bg *flush.Background) {
				j.flushTakes, j.writeTakes = 10*ms, 30*ms
				tt.setup(bg)
				var wg sync.WaitGroup
				for range 2 {
					wg.Go(func() {
						if err := bg.Close(); err != nil {
							t.Errorf("Close: %v", err)
						}
					})
				}
				wg.Wait()
				j.expect(t, tt.want...)
				bg.MarkDirty(1)
				bg.Force()
				bg.Resume()
				if err := bg.Barrier().Err(); !errors.Is(err, fs.ErrClosed) {
					t.Errorf("Barrier after Close: %v, want fs.ErrClosed", err)
				}
				if err := bg.Close(); err != nil {
					t.Errorf("third Close: %v", err)
				}
				j.expect(t)
			})
		})
	}
}

func TestCloseAfterAnErrorWaitsForWhatStillRuns(t *testing.T) {
	inBubble(t, flush.Policy{}, func(t *testing.T, j *journal, bg *flush.Background) {
		j.flushTakes, j.flushErr = 10*ms, errDisk
		_ = bg.Barrier()
		synctest.Wait()
		second := bg.Barrier()
		pass(10 * ms) // the first has failed
		if err := bg.Close(); err != errDisk || !isDone(second) {
			t.Errorf("Close: %v, second flush over %v; want %v, true", err, isDone(second), errDisk)
		}
		j.expect(t, event{0, "flush"}, event{10 * ms, "flush"})
	})
}

func TestCloseContextReturnsAndTheFlushTakesPlace(t *testing.T) {
	cause := errors.New("in a hurry")
	for _, tt := range []struct {
		name       string
		writeTakes time.Duration
		want       []event
	}{
		{"flushing", 0, []event{{50 * ms, "write-back"}, {60 * ms, "flush"}}},
		{"writing back", 500 * ms, []event{{50 * ms, "write-back"}, {550 * ms, "flush"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, flush.Policy{Interval: 100 * ms}, func(t *testing.T, j *journal, bg *flush.Background) {
				j.flushTakes, j.writeTakes = time.Second, tt.writeTakes
				bg.MarkDirty(1)
				pass(60 * ms)
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*ms, cause)
				defer cancel()
				if err := bg.CloseContext(ctx); err != cause {
					t.Errorf("Close: %v, want the cause", err)
				}
				if err := bg.Close(); err != nil {
					t.Errorf("second Close: %v", err)
				}
				if err := bg.CloseContext(ctx); err != nil {
					t.Errorf("Close with both done: %v, want the outcome", err)
				}
				j.expect(t, tt.want...)
			})
		})
	}
}

func TestAnErrorEndsTheBackgroundAndReachesEverybody(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(j *journal)
		setup  func(bg *flush.Background)
		events int
	}{
		{"flush by interval", func(j *journal) { j.flushErr = errDisk }, func(bg *flush.Background) { bg.MarkDirty(1) }, 2},
		{"write-back", func(j *journal) { j.writeErr = errDisk }, func(bg *flush.Background) { bg.MarkDirty(1) }, 1},
		{"barrier", func(j *journal) { j.flushErr = errDisk }, func(bg *flush.Background) { _ = bg.Barrier() }, 1},
		{"final", func(j *journal) { j.flushErr = finalError{} }, func(bg *flush.Background) { _ = bg.Barrier() }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told []error
			var bubble *flush.Background
			p := flush.Policy{Interval: 100 * ms, OnError: func(err error) {
				told = append(told, err)
				bubble.MarkDirty(1) // no lock is held
			}}
			inBubble(t, p, func(t *testing.T, j *journal, bg *flush.Background) {
				bubble = bg
				tt.damage(j)
				want := errors.Join(j.flushErr, j.writeErr)
				tt.setup(bg)
				pass(time.Second)
				bg.MarkDirty(1)
				pass(time.Second)
				if n := len(j.events); n != tt.events {
					t.Errorf("events %v, want %d", j.events, tt.events)
				}
				if len(told) != 1 || !errors.Is(want, told[0]) {
					t.Errorf("OnError got %v, want %v once", told, want)
				}
				if err := bg.Barrier().Err(); err == nil || !errors.Is(want, err) {
					t.Errorf("Barrier: %v, want %v", err, want)
				}
				if err := bg.Close(); err == nil || !errors.Is(want, err) {
					t.Errorf("Close: %v, want %v", err, want)
				}
			})
		})
	}
}

func TestAFailureOfTheLastFlushIsReported(t *testing.T) {
	var told atomic.Int64
	inBubble(t, flush.Policy{OnError: func(error) { told.Add(1) }}, func(t *testing.T, j *journal, bg *flush.Background) {
		j.flushErr = errDisk
		for range 2 {
			if err := bg.Close(); err != errDisk || told.Load() != 1 {
				t.Errorf("Close: %v, OnError called %d times; want %v, 1", err, told.Load(), errDisk)
			}
		}
	})
}

func TestBarriersOfOneBatchReportItsErrorOnce(t *testing.T) {
	var told atomic.Int64
	inBubble(t, flush.Policy{OnError: func(error) { told.Add(1) }}, func(t *testing.T, j *journal, bg *flush.Background) {
		j.flushTakes, j.flushErr, j.good = ms, errDisk, 1
		_ = bg.Barrier()
		synctest.Wait()
		barriers := []*flush.Batch{bg.Barrier(), bg.Barrier(), bg.Barrier()}
		pass(time.Second)
		for i, b := range barriers {
			if b != barriers[0] || b.Err() != errDisk {
				t.Errorf("barrier %d: same batch %v, %v", i, b == barriers[0], b.Err())
			}
		}
		if told.Load() != 1 {
			t.Errorf("OnError called %d times, want 1", told.Load())
		}
	})
}

func TestCloseRacesWithBarriersAndTicks(t *testing.T) {
	for range 200 {
		d := newDisk(4)
		var over atomic.Bool
		d.fail = func() error {
			if over.Load() {
				t.Error("a flush after Close returned")
			}
			return nil
		}
		c := flush.NewCommitter(d, flush.Options{})
		bg := flush.NewBackground(c, flush.Policy{DirtyBytes: 2})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for bg.Barrier().Wait(t.Context()) == nil {
					bg.MarkDirty(1)
				}
			})
		}
		yield()
		if err := bg.Close(); err != nil {
			t.Error(err)
		}
		over.Store(true)
		wg.Wait()
	}
}
