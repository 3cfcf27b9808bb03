package flush

import (
	"runtime"
	"time"
)

// expectedJoiners are the requests that may be about to join the forming batch:
// those of the members of the batch before, which have just been woken. If the
// next batch were sealed at once, it would have few of them, the rest would
// wait for its end, and so on: two halves that take turns, or one caller that
// is always alone. Durable flushes a second, as a multiple of those without
// waiting for joiners, of 4 KiB pages side by side on ext4 and two cores:
//
//	callers     file written by 1 MiB writes     by 4 KiB writes
//	1           1.0                              1.0
//	2           1.3                              1.5
//	8           1.3 to 1.4                       1.7 to 2.0
//	64          1.05                             1.6 to 1.7
//	256         1.0 to 1.2                       1.1 to 1.6
//
// Callers that come at random times within a millisecond get 0.9 to 1.1 of
// either.
//
// All fields are guarded by Committer.mu.
type expectedJoiners struct {
	expected int           // members that the next batch has if all of them join
	ended    time.Time     // when the batch before was over
	took     time.Duration // the calls of that batch; the wait is never longer
	patience time.Duration // how long to wait for one more joiner
}

const (
	maxPatience = 50 * time.Microsecond
	minPatience = time.Microsecond

	// A yield takes 0.1 µs when no other goroutine wants to run, so that these
	// take about as long as the greatest patience. They end the wait where the
	// clock stands still, as it does in a bubble of testing/synctest.
	maxYields = 512
)

// recent reports whether joiners may still be on their way at now.
func (j *expectedJoiners) recent(now time.Time) bool {
	return j.expected > 1 && now.Sub(j.ended) < maxPatience
}

// learn adjusts the patience: up when at least half of those missing joined,
// and otherwise down, soon to a single yield.
func (j *expectedJoiners) learn(missing, joined int) {
	if 2*joined >= missing {
		j.patience = min(2*j.patience, maxPatience)
	} else {
		j.patience = max(j.patience/2, minPatience)
	}
}

// awaitJoiners lets the expected requests join the forming batch: it yields
// until all have, or none has for a while. The first batch of a committer does
// not wait.
func (c *Committer) awaitJoiners() {
	c.mu.Lock()
	j := c.joiners
	first := c.joinedLocked()
	c.mu.Unlock()
	if j.expected <= 1 || first >= j.expected {
		return
	}
	began := time.Now()
	latest, joined, yields := began, first, 0
	for {
		runtime.Gosched()
		c.mu.Lock()
		n := c.joinedLocked()
		c.mu.Unlock()
		now := time.Now()
		if n > joined {
			joined, latest, yields = n, now, 0
		}
		yields++
		if joined >= j.expected || yields > maxYields ||
			now.Sub(latest) >= j.patience || now.Sub(began) >= j.took {
			break
		}
	}
	c.mu.Lock()
	c.joiners.learn(j.expected-first, joined-first)
	c.mu.Unlock()
}

// joinedLocked returns the number of members of the forming batch.
func (c *Committer) joinedLocked() int {
	if c.forming == nil {
		return 0
	}
	return c.forming.members
}
