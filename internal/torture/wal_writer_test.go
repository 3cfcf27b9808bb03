package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/internal/torture/disk"
	"github.com/fmmap-go/fmmap/wal"
)

// breakAck is what a log's writer can do wrong: it acknowledges what it has
// appended before the batch is over.
const breakAck = "wait for the batch"

// A logEvent is one thing that was acknowledged of a log.
type logEvent struct {
	Began, Ended int64 // records in the disk's log before it began, and once it was acknowledged
	Kind         string
	Index        uint64 // of an append: the record; of a truncation: the first or the last
	Era          uint64 // how many times the log had been truncated at its back
	ID           uint64 // of the record; the version of a value
}

const (
	appendKind = "record of the log"
	frontKind  = "truncation of the front"
	backKind   = "truncation of the back"
	setKind    = "value of the log"
)

// logOptions make segments so small that they are recycled all the time.
var logOptions = wal.Options{SegmentSize: 64 * kib, Spare: 3, OpenSegments: 2}

// logName is the directory of the log on the disk.
const logName = "log"

// largeIDs is the first of the numbers of large records, whose batches are so long
// that the segments for them are not written ahead.
const largeIDs = 1 << 40

// largeOptions are those of a log of large records.
var largeOptions = wal.Options{SegmentSize: mib, Spare: 1, OpenSegments: 2}

// logRecord is a record that tells its era and its number, and is filled with
// letters of its own.
func logRecord(era, id uint64) []byte {
	b := le.AppendUint64(le.AppendUint64(nil, era), id)
	n := int(id * 37 % 1500)
	if id >= largeIDs {
		n += 100 * kib
	}
	return append(b, pattern(int64(id), n, byte(id))...)
}

// A logWriter is the process that appends to a log whose disk loses its power.
type logWriter struct {
	orders
	position *disk.Position
	log      *wal.Log
	ids      atomic.Uint64
	era      uint64       // guarded by cutting
	cutting  sync.RWMutex // held by TruncateBack, shared by appends, so that eras do not mix
	out      sync.Mutex   // held while a line is written
}

// writeLog is the role of a log's writer.
func writeLog() (err error) {
	w := &logWriter{}
	if err := json.Unmarshal([]byte(os.Getenv(ordersEnv)), &w.orders); err != nil {
		return err
	}
	if w.position, err = disk.OpenPosition(w.Disk); err != nil {
		return err
	}
	defer w.position.Close()
	o := logOptions
	if w.Large {
		o = largeOptions
		w.ids.Store(largeIDs)
	}
	if w.log, err = wal.Open(bg, filepath.Join(w.Dir, logName), o); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(w.Seed, 0))
	outcomes := make(chan error, w.Hands+1)
	over := make(chan struct{})
	for range w.Hands {
		rnd := rand.New(rand.NewPCG(rnd.Uint64(), 0))
		go func() { outcomes <- w.appendAll(rnd) }()
	}
	go func() { outcomes <- w.truncate(rand.New(rand.NewPCG(rnd.Uint64(), 0)), over) }()
	for range w.Hands {
		err = errors.Join(err, <-outcomes)
	}
	close(over)
	return errors.Join(err, <-outcomes, w.log.Close())
}

// tell prints the events that were acknowledged.
func (w *logWriter) tell(began int64, events ...logEvent) error {
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

// appendAll appends records, in the ways there are, until it has done its
// rounds.
func (w *logWriter) appendAll(rnd *rand.Rand) error {
	for range w.Rounds {
		if err := w.append(rnd); err != nil {
			return err
		}
	}
	return nil
}

func (w *logWriter) append(rnd *rand.Rand) error {
	w.cutting.RLock()
	defer w.cutting.RUnlock()
	var events []logEvent
	var records [][]byte
	for range 1 + rnd.IntN(4) {
		id := w.ids.Add(1)
		events = append(events, logEvent{Kind: appendKind, Era: w.era, ID: id})
		records = append(records, logRecord(w.era, id))
	}
	began := w.position.Load()
	var last uint64
	var err error
	switch {
	case w.Break == breakAck:
		last = w.log.Append(records...).Last()
	case rnd.IntN(2) == 0:
		last, err = w.log.Write(bg, records...)
	default:
		last, err = w.log.Append(records...).Await(bg)
	}
	if err != nil {
		return err
	}
	for i := range events {
		events[i].Index = last - uint64(len(events)-1-i)
	}
	return w.tell(began, events...)
}

// truncate cuts both ends and sets a value, until the appenders are done.
func (w *logWriter) truncate(rnd *rand.Rand, over <-chan struct{}) error {
	at := w.ids.Load()
	for version := uint64(1); ; {
		select {
		case <-over:
			return nil
		default:
		}
		if w.ids.Load() < at+20 {
			if _, err := w.log.Write(bg); err != nil { // a moment
				return err
			}
			continue
		}
		at = w.ids.Load()
		var err error
		switch rnd.IntN(3) {
		case 0:
			began := w.position.Load()
			if err = w.log.Set("version", le.AppendUint64(nil, version)); err == nil {
				err = w.tell(began, logEvent{Kind: setKind, ID: version})
			}
			version++
		case 1:
			first, last := w.log.First(), w.log.Last()
			if last < first+60 {
				continue
			}
			began := w.position.Load()
			if err = w.log.TruncateFront(last - 50); err == nil {
				err = w.tell(began, logEvent{Kind: frontKind, Index: last - 50})
			}
		default:
			err = w.cutBack(rnd)
		}
		if err != nil {
			return fmt.Errorf("truncating: %w", err)
		}
	}
}

func (w *logWriter) cutBack(rnd *rand.Rand) error {
	w.cutting.Lock()
	defer w.cutting.Unlock()
	first, last := w.log.First(), w.log.Last()
	last -= min(rnd.Uint64N(40), last+1-first)
	began := w.position.Load()
	if err := w.log.TruncateBack(context.Background(), last); err != nil {
		return err
	}
	w.era++
	return w.tell(began, logEvent{Kind: backKind, Index: last, Era: w.era})
}
