package torture

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// A cut is the moment at which the power goes, and the luck that unflushed
// writes have then.
type cut struct {
	moment int64
	seed   uint64
}

// powerRun is one writer's work on one disk, and the cuts of it.
type powerRun struct {
	fstype string
	leave  string // out: what the writer breaks
	lie    bool   // the disk flushes nothing

	history *history
	look    func(dir string, at cut) (looked int, err error) // at what the cut left

	mu       sync.Mutex // guards what follows
	cuts     int
	losing   int   // cuts that lost something
	lost     tally // losses by kind
	looked   int   // acknowledged things that were looked at
	dead     int   // cuts after which nothing could be mounted
	problems []error
}

// start has a writer write to a new disk, and returns the disk.
func (r *powerRun) start(t *testing.T, rnd *rand.Rand) *disk.Disk {
	t.Helper()
	d := disk.Start(t, max(64*mib, testutil.MinSize(r.fstype)))
	dir := must[string](t)(d.Mount(r.fstype))
	check(t, d.Lie(r.lie))
	o := orders{
		Dir: dir, Disk: d.Dir(), Break: r.leave, Seed: rnd.Uint64(), Hands: 16, Rounds: 60,
		Sparse: rnd.IntN(2) == 0, Room: []int64{0, 16 * kib, 128 * kib}[rnd.IntN(3)],
	}
	env := must[[]byte](t)(json.Marshal(o))
	p := testutil.Reexec(t, "writer", ordersEnv+"="+string(env))
	lines, err := p.Wait()
	check(t, err)
	r.history = must[*history](t)(historyOf(lines))
	r.look = func(dir string, at cut) (looked int, err error) {
		looked, err = r.history.check(dir, at.moment)
		if err == nil && at.seed%8 == 0 {
			err = keepWriting(filepath.Join(dir, storeName))
		}
		return looked, err
	}
	return d
}

// cutters is how many cut at a time: mounting and unmounting are mostly
// waiting.
const cutters = 3

// cutOften cuts the power as often as next wants it, n times at most.
func (r *powerRun) cutOften(d *disk.Disk, rnd *rand.Rand, n int, next func() bool) error {
	end, err := disk.OpenPosition(d.Dir())
	if err != nil {
		return err
	}
	defer end.Close()
	cuts := make([]cut, n)
	for i := range cuts {
		cuts[i] = cut{r.history.moment(rnd.Int64N, end.Load()), rnd.Uint64()}
	}
	// Each cutter has a part of the log, through which it goes forward.
	slices.SortFunc(cuts, func(a, b cut) int { return cmp.Compare(a.moment, b.moment) })
	outcomes := make(chan error)
	for i := range cutters {
		go func() { outcomes <- r.cutAll(d, cuts[i*n/cutters:(i+1)*n/cutters], next) }()
	}
	for range cutters {
		err = errors.Join(err, <-outcomes)
	}
	return err
}

// cutAll does the cuts, in order.
func (r *powerRun) cutAll(d *disk.Disk, cuts []cut, next func() bool) (err error) {
	c, err := d.NewCutter()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for _, at := range cuts {
		if !next() {
			break
		}
		looked := 0
		err := c.Check(at.moment, at.seed, r.fstype, func(dir string) (err error) {
			looked, err = r.look(dir, at)
			return err
		})
		r.addCut(looked, err)
	}
	return nil
}

// addCut enters the outcome of a cut.
func (r *powerRun) addCut(looked int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cuts++
	r.looked += looked
	if err == nil {
		return
	}
	r.losing++
	all, ok := losses(err)
	for _, l := range all {
		r.lost.add(l.kind, 1)
	}
	dead := errors.Is(err, disk.ErrUnmountable)
	if dead {
		r.dead++
	}
	switch {
	case r.lie && (dead || !ok): // a file system whose disk lies may be damaged in any way
	case !ok, r.leave == "" && !r.lie:
		r.problems = append(r.problems, err)
	}
}

// What was acknowledged is there after the power has gone at any moment:
// records, lengths, names, copies; and what was removed is not.
func TestPowerCuts(t *testing.T) {
	for _, tt := range []struct {
		fstype     string
		cuts, runs int
	}{{"ext4", 1000, 4}, {"xfs", 100, 2}} {
		t.Run(tt.fstype, func(t *testing.T) {
			needs(t, tt.fstype)
			rnd := testutil.Rand(t)
			began := time.Now()
			b := newBudget(tt.cuts)
			runs, cuts, acked, looked, losing := 0, 0, 0, 0, 0
			for ; !b.spent() && !t.Failed(); runs++ {
				t.Run(fmt.Sprint("writer ", runs), func(t *testing.T) {
					testutil.NoLeaks(t)
					r := &powerRun{fstype: tt.fstype}
					d := r.start(t, rnd)
					check(t, r.cutOften(d, rnd, tt.cuts/tt.runs, b.next))
					for _, err := range r.problems[:min(len(r.problems), 3)] {
						t.Error(err)
					}
					cuts, acked, looked, losing = cuts+r.cuts, acked+len(r.history.moments), looked+r.looked, losing+r.losing
				})
			}
			counted(t, "%d cuts of %d runs, %d acknowledged things checked %d times, %d cuts lost some; %.0f cuts per minute",
				cuts, runs, acked, looked, losing, float64(cuts)/time.Since(began).Minutes())
		})
	}
}

// The same test sees that something is lost when the writer or the disk leaves
// out what keeps it.
func TestPowerCutsNoticeWhatIsLeftOut(t *testing.T) {
	const cuts = 90 // at most
	for _, tt := range []struct {
		name  string
		leave string
		lie   bool
		loses []string // the kinds of which some must be lost
	}{
		{"FlushRange left out", breakFlush, false, []string{recordKind, createKind}},
		{"flushes ignored by the disk", "", true, []string{recordKind}},
		{"sync of the directory left out", breakParent, false, []string{removeKind, renameKind, copyKind}},
		{"group commit off by one", breakGroup, false, []string{recordKind}},
	} {
		for _, fstype := range []string{"ext4", "xfs"} {
			t.Run(filepath.Join(fstype, tt.name), func(t *testing.T) {
				needs(t, fstype)
				testutil.NoLeaks(t)
				rnd := testutil.Rand(t)
				r := &powerRun{fstype: fstype, leave: tt.leave, lie: tt.lie}
				d := r.start(t, rnd)
				check(t, r.cutOften(d, rnd, cuts, func() bool { return !r.sees(tt.loses) }))
				for _, err := range r.problems {
					t.Error(err)
				}
				for _, kind := range tt.loses {
					if r.lost.of(kind) == 0 {
						t.Errorf("in %d cuts nothing was lost of kind %q: the power cuts see nothing", r.cuts, kind)
					}
				}
				counted(t, "%d of %d cuts lost something, as they must: %s; %d could not be mounted", r.losing, r.cuts, &r.lost, r.dead)
			})
		}
	}
}

// sees reports whether something of each kind was lost.
func (r *powerRun) sees(kinds []string) bool {
	return !slices.ContainsFunc(kinds, func(kind string) bool { return r.lost.of(kind) == 0 })
}

// needs skips the test where no file system of the type can be made on a disk of
// package disk.
func needs(t *testing.T, fstype string) {
	t.Helper()
	disk.Require(t)
	testutil.RequireTool(t, "mkfs."+fstype)
}
