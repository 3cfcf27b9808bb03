package core

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/internal/stacks"
	"github.com/fmmap-go/fmmap/internal/stripe"
)

// Tracking is what the package records in order to find leaks; see [Track]. The
// zero value records nothing.
type Tracking struct {
	// Pins records the stack that takes each pin. The profile "fmmap.pins" of
	// runtime/pprof shows those of the pins held, and for a fraction of a second
	// those of pins that have been released.
	Pins bool
	// Files records the stack that opens or maps each file, for the profile
	// "fmmap.files". Heap memory ([NewMemory]) is left to the garbage collector,
	// and is not in it.
	Files bool
	// Abandoned reports files that have not been closed, and with Pins also pins
	// that have not been released, when the garbage collector finds that nothing
	// refers to them any longer. What they hold stays as it is. To take a pin then
	// takes several times as long.
	Abandoned bool
	// BlockedAfter is how long a change of a file may wait for pins and
	// operations before it is reported; 0 reports none. The changes are Close,
	// Truncate, Freeze and what else a [Change] can be.
	BlockedAfter time.Duration

	// OnBlocked is called once with each change that waits longer than
	// BlockedAfter, and OnAbandoned with each file and pin that is abandoned,
	// each in a goroutine of its own, which ends with the call. nil logs the
	// report with [slog.Default] at the level of warnings.
	OnBlocked   func(BlockedChange)
	OnAbandoned func(Holder)
}

// BlockedChange is a change that waits for the uses of a file to end.
type BlockedChange struct {
	File string        // its name
	Op   string        // "close", "truncate" and so on, as in errors
	Wait time.Duration // so far
	// Operations is the number of calls (View, Update, Do, ReadAt and so on)
	// that the change waits for.
	Operations int64
	// Pins are the pins that the change waits for, by their offsets.
	Pins []Holder
}

// Holder is an open file, or a pin that has not been released.
type Holder struct {
	File        string // its name
	IsPin       bool
	Offset, Len int64 // of the pin
	// Stack is the stack that opened the file or took the pin, in the form of a
	// traceback. It is empty for a pin that was taken while Tracking.Pins was not
	// set.
	Stack string
}

// Track sets what is recorded from now on, instead of what was until now. What
// was recorded before stays in the profiles until it is released or closed.
//
// In a program that has not called Track when it opens its first file, the
// variable FMMAP_TRACK of the environment switches tracking on. It is a list of
// the words pins, files and abandoned, and of the time for BlockedAfter:
//
//	FMMAP_TRACK=pins,files,abandoned,blocked=30s ./server
func Track(t Tracking) {
	trackEnv.Do(func() {}) // the program decides
	t.set()
}

const trackVariable = "FMMAP_TRACK"

var (
	tracking atomic.Pointer[tracker] // nil: off
	trackEnv sync.Once               // reads the environment

	// The profiles are made when they are first switched on: importing the package
	// registers none.
	pinProfile  = sync.OnceValue(func() *stacks.Profile { return stacks.New("fmmap.pins", newPinTrack) })
	fileProfile = sync.OnceValue(func() *pprof.Profile { return pprof.NewProfile("fmmap.files") })
)

// tracker is tracking that is on.
type tracker struct {
	Tracking
	pins  *stacks.Profile // nil: not recorded
	files *pprof.Profile  // nil: not recorded
}

func (t Tracking) set() {
	if !t.Pins && !t.Files && !t.Abandoned && t.BlockedAfter <= 0 {
		tracking.Store(nil)
		return
	}
	on := &tracker{Tracking: t}
	if t.Pins {
		on.pins = pinProfile()
	}
	if t.Files {
		on.files = fileProfile()
	}
	tracking.Store(on)
}

// readTrackEnv switches on what the environment asks for.
func readTrackEnv() {
	list := os.Getenv(trackVariable)
	if list == "" {
		return
	}
	t, err := parseTracking(list)
	if err != nil {
		slog.Warn("fmmap: "+trackVariable+" is ignored in part", "err", err)
	}
	t.set()
}

// parseTracking returns what the words of the list that are known ask for, and
// an error that names the first one that is not.
func parseTracking(list string) (t Tracking, err error) {
	for word := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(word), "=")
		d, bad := time.ParseDuration(value)
		switch {
		case name == "pins" && value == "":
			t.Pins = true
		case name == "files" && value == "":
			t.Files = true
		case name == "abandoned" && value == "":
			t.Abandoned = true
		case name == "blocked" && bad == nil && d > 0:
			t.BlockedAfter = d
		case err == nil:
			err = fmt.Errorf("%q is none of pins, files, abandoned, blocked=DURATION", word)
		}
	}
	return t, err
}

// pinTrack is what is known of a pin that is tracked. Pins that are not reported
// when they are abandoned share that of their site.
type pinTrack struct {
	site *stacks.Site

	// listed is the pin that the list holds in place of the caller's, since the
	// collector can find only a pin abandoned that no list refers to.
	listed  *Pin
	cleanup runtime.Cleanup
}

func newPinTrack(s *stacks.Site) any { return &pinTrack{site: s} }

// record records the stack that takes p, without its innermost skip calls: 0 is
// the caller of record. It is called before p is added to its list.
func (t *tracker) record(p *Pin, skip int) {
	if t.pins != nil {
		p.track = t.pins.Take(skip + 1).Data.(*pinTrack)
	}
}

// handOut returns the pin for the caller, given the one that has been recorded
// and added to its list.
func (t *tracker) handOut(p *Pin) *Pin {
	if !t.Abandoned || p.track == nil {
		return p
	}
	track := &pinTrack{site: p.track.site, listed: p}
	out := &Pin{file: p.file, gen: p.gen, off: p.off, data: p.data, list: p.list, track: track}
	track.cleanup = runtime.AddCleanup(out, (*Pin).reportAbandoned, p)
	return out
}

// end ends the tracking of p and returns the pin that is in the list for it.
func (t *pinTrack) end(p *Pin) *Pin {
	t.site.Drop()
	if t.listed == nil {
		return p
	}
	t.cleanup.Stop()
	return t.listed
}

// holder describes the pin.
func (p *Pin) holder() Holder {
	h := Holder{File: p.file.name, IsPin: true, Offset: p.off, Len: p.Len()}
	if p.track != nil {
		h.Stack = p.track.site.Stack.String()
	}
	return h
}

// reportAbandoned reports that nothing refers to the pin that was handed out for
// p.
func (p *Pin) reportAbandoned() { reportAbandoned(p.holder()) }

// openFile is what is known of an open file that is tracked. It does not refer
// to the File, which the collector is to find abandoned.
type openFile struct {
	name    string
	stack   stacks.Stack
	profile *pprof.Profile // that has it; nil: none
	cleanup runtime.Cleanup
}

// trackOpen records the stack that has opened f, without its innermost skip
// calls: 0 is the caller of trackOpen.
func (f *File) trackOpen(skip int) {
	trackEnv.Do(readTrackEnv)
	t := tracking.Load()
	if t == nil || t.files == nil && !t.Abandoned || f.file == nil && f.gen.Load().region.heap != nil {
		return
	}
	o := &openFile{name: f.name, stack: stacks.Here(skip + 1), profile: t.files}
	f.track = o
	if o.profile != nil {
		o.profile.Add(o, skip+2)
	}
	if t.Abandoned {
		o.cleanup = runtime.AddCleanup(f, (*openFile).reportAbandoned, o)
	}
}

// trackClose ends what trackOpen began.
func (f *File) trackClose() {
	o := f.track
	if o == nil {
		return
	}
	o.cleanup.Stop()
	if o.profile != nil {
		o.profile.Remove(o)
	}
}

func (o *openFile) reportAbandoned() {
	reportAbandoned(Holder{File: o.name, Stack: o.stack.String()})
}

// reportAbandoned reports h, if that is still switched on.
func reportAbandoned(h Holder) {
	t := tracking.Load()
	switch {
	case t == nil || !t.Abandoned:
	case t.OnAbandoned != nil:
		go t.OnAbandoned(h) // ends with the call
	case h.IsPin:
		slog.Warn("fmmap: a pin was not released", "file", h.File, "offset", h.Offset, "len", h.Len, "stack", h.Stack)
	default:
		slog.Warn("fmmap: a file was not closed", "file", h.File, "stack", h.Stack)
	}
}

// reportLater has c reported, which waits, if it still waits then. The caller
// holds File.mu.
func (c *Change) reportLater() {
	t := tracking.Load()
	if t == nil || t.BlockedAfter <= 0 || c.report != nil {
		return
	}
	since := time.Now()
	c.report = time.AfterFunc(t.BlockedAfter, func() {
		if b, waits := c.blocked(since); waits {
			t.reportBlocked(b)
		}
	})
}

// stopReport stops what reportLater has started. The caller holds File.mu.
func (c *Change) stopReport() {
	if c.report != nil {
		c.report.Stop()
	}
}

// blocked reports whether c waits, and for what.
func (c *Change) blocked(since time.Time) (b BlockedChange, waits bool) {
	b = BlockedChange{File: c.file.name, Op: c.op, Wait: time.Since(since)}
	operations, pins, waits := c.blockers()
	b.Operations = operations
	for _, p := range pins {
		b.Pins = append(b.Pins, p.holder())
	}
	slices.SortStableFunc(b.Pins, func(a, b Holder) int { return cmp.Compare(a.Offset, b.Offset) })
	return b, waits
}

// blockers reports whether c waits, and returns what for.
func (c *Change) blockers() (operations int64, pins []*Pin, waits bool) {
	f := c.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.state != waiting || c.wait == nil {
		return 0, nil, false
	}
	g := f.gen.Load()
	for _, r := range append([]*region{g.region}, f.retired...) {
		for _, e := range r.epochs {
			if e != g.epoch {
				operations += stripe.Sum(e.running)
			}
		}
	}
	f.eachPinList(func(l *pinList) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, p := range l.pins {
			if c.wait.beyond < 0 && p.gen.seq < c.wait.seq || c.wait.beyond >= 0 && p.end() > c.wait.beyond {
				pins = append(pins, p)
			}
		}
	})
	return operations, pins, true
}

// maxLogged is how many pins a report in the log describes.
const maxLogged = 10

func (t *tracker) reportBlocked(b BlockedChange) {
	if t.OnBlocked != nil {
		t.OnBlocked(b)
		return
	}
	var pins strings.Builder
	for _, p := range b.Pins[:min(len(b.Pins), maxLogged)] {
		fmt.Fprintf(&pins, "%d bytes at %d\n%s", p.Len, p.Offset, p.Stack)
	}
	slog.Warn("fmmap: a change waits for pins or operations", "file", b.File, "op", b.Op, "wait", b.Wait,
		"operations", b.Operations, "pins", len(b.Pins), "stacks", pins.String())
}
