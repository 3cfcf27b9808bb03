package wal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/core"
)

// Open opens the log in the directory dir, and creates both if they are absent.
// The missing parents of dir are created too. A log that is open, here or in
// another process, is [lock.ErrLocked], or waited for with [Options].Wait.
//
// Opening reads a page of each segment. After a crash it also scans the last
// segment: the log ends before the first record that is not whole. Damage that
// no crash explains is [ErrCorrupt], and changes nothing. ctx ends the wait and
// the scan.
func Open(ctx context.Context, dir string, o Options) (*Log, error) {
	o, err := o.check()
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	file, err := openMeta(ctx, filepath.Join(dir, metaName), o.Wait)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, opts: o, meta: meta{file: file}}
	l.counters.began = time.Now()
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if err := l.recover(ctx); err != nil {
		l.abandon()
		return nil, err
	}
	return l, nil
}

// makeDir makes dir and the directories it lies in, durably, as far as they are
// absent.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return core.SyncParent(dir)
}

// abandon closes the files of an Open that has failed.
func (l *Log) abandon() {
	l.cancel()
	for _, s := range l.segments {
		if s.file != nil {
			_ = s.file.Close()
		}
	}
	_ = l.meta.file.Close()
}

// recover finds the segments that belong to the log and its end, and notes that
// the log is open.
func (l *Log) recover(ctx context.Context) error {
	isNew, err := l.meta.read()
	if err != nil {
		return err
	}
	found, others, err := l.scanDir(isNew)
	if err != nil {
		return err
	}
	if isNew {
		if err := l.begin(found, others); err != nil {
			return err
		}
	}
	if err := l.link(found); err != nil {
		return err
	}
	if err := l.findEnd(ctx); err != nil {
		return err
	}
	if !isNew && !l.meta.clean.closed {
		if err := l.restore(); err != nil {
			return err
		}
	}
	l.collectSpares(others)
	l.durable.Store(l.next() - 1)
	next := l.meta.state
	next.clean = clean{}
	if s := l.tail(); s != nil {
		next.tailSeq, next.gen = s.seq, s.gen
	}
	return l.storeMeta(next)
}

// begin makes the state of a new log. A directory with segments had a state.
func (l *Log) begin(found []*segment, others []string) error {
	if len(found)+len(others) > 0 {
		return &CorruptError{l.meta.file.Name(), 0, "empty, although there are segments"}
	}
	s := state{first: 1, nextSeq: 1, values: map[string][]byte{}}
	_, _ = rand.Read(s.id[:]) // never fails
	// The process that has made the directory or the file may have been killed
	// before their names were durable.
	if err := core.SyncDir(l.dir); err != nil {
		return err
	}
	if err := core.SyncParent(l.dir); err != nil {
		return err
	}
	return l.storeMeta(s)
}

// scanDir reads the headers of the segment files in the directory, unless the log
// is new. It returns the segments of this log, alive or not, and the names of
// all segment files.
func (l *Log) scanDir(isNew bool) (found []*segment, names []string, err error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		number, ok := segmentNumber(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		l.number = max(l.number, number)
		name := filepath.Join(l.dir, e.Name())
		names = append(names, name)
	}
	if isNew {
		return nil, names, nil
	}
	found, err = l.readSegments(names)
	return found, names, err
}

// openers is how many segments are read at a time: that is mostly waiting for
// the device.
const openers = 8

// readSegments reads the headers and trailers of the files. It returns those that
// are segments of this log.
func (l *Log) readSegments(names []string) (found []*segment, err error) {
	all, errs := make([]*segment, len(names)), make([]error, len(names))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range min(openers, len(names)) {
		readers.Go(func() { // ends when all files are read
			for i := next.Add(1) - 1; i < int64(len(names)); i = next.Add(1) - 1 {
				all[i], errs[i] = readSegment(names[i], l.meta.id, l.meta.cut)
			}
		})
	}
	readers.Wait()
	for i, s := range all {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if s != nil {
			found = append(found, s)
		}
	}
	return found, nil
}

// readSegment reads the header and the trailer of a segment file; nil if it is
// no segment of the log id.
func readSegment(name string, id identity, cut cut) (*segment, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, headerBytes)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, ignoreEOF(err)
	}
	h, ok := decodeHeader(b, id)
	if !ok {
		return nil, nil
	}
	s := &segment{header: h, name: name, sum: h.seed(), end: pageSize}
	b = make([]byte, trailerSize)
	if n, err := f.ReadAt(b, h.size-trailerSize); n < len(b) {
		return s, ignoreEOF(err) // shorter than it was: findEnd and reads meet that
	}
	if t, ok := decodeTrailer(b, h); ok && !cut.coversTrailer(h.seq, t) {
		s.sealed, s.count, s.end, s.gen, s.cuts = true, t.count, t.end, t.gen, t.cuts
	}
	return s, nil
}

// link puts the segments of the log in order: each follows the one that its
// header names, as that was when it was sealed.
func (l *Log) link(found []*segment) error {
	for _, c := range found {
		l.meta.nextSeq = max(l.meta.nextSeq, c.seq+1)
	}
	if l.meta.firstSeq == 0 {
		return nil
	}
	var s *segment
	after := map[uint64][]*segment{} // by prevSeq
	for _, c := range found {
		after[c.prevSeq] = append(after[c.prevSeq], c)
		if c.seq == l.meta.firstSeq {
			s = c
		}
	}
	reached := false
	for s != nil {
		l.segments = append(l.segments, s)
		reached = reached || s.seq == l.meta.tailSeq
		last := s
		s = nil
		for _, c := range after[last.seq] {
			// Of several, the latest: the others could not be begun.
			if last.sealed && c.prevCuts == last.cuts && c.first == last.last()+1 &&
				c.seq > last.seq && (s == nil || c.seq > s.seq) {
				s = c
			}
		}
	}
	if !reached {
		return &CorruptError{l.dir, 0, fmt.Sprintf("segment %d cannot be reached: a segment is missing or damaged", l.meta.tailSeq)}
	}
	return nil
}

// findEnd maps the tail, if the last segment is not sealed, and finds its end.
func (l *Log) findEnd(ctx context.Context) error {
	s := l.tail()
	if c := l.meta.clean; c.closed && (s == nil) != (c.seq == 0) || s != nil && c.closed && s.seq != c.seq {
		return &CorruptError{l.dir, 0, fmt.Sprintf("the log was closed with segment %d as its last, but another one is", c.seq)}
	}
	if s == nil {
		return nil
	}
	f, err := mapSegment(l.pool(), s.name, core.ReadWrite)
	if err != nil {
		return err
	}
	s.file = f
	if f.Core().Len() != s.size {
		return &CorruptError{s.name, f.Core().Len(), fmt.Sprintf("the file is not %d bytes long", s.size)}
	}
	latest := uint16(0)
	if s.seq == l.meta.tailSeq {
		latest = l.meta.gen
	}
	if c := l.meta.clean; c.closed {
		s.count, s.end = c.count, c.end
		err = s.loadIndex(c.index)
	} else {
		err = s.scan(ctx, l.meta.cut, latest)
	}
	if err != nil {
		return err
	}
	// Not the generation of the last frame: later ones may have been lost, and
	// frames that had followed them may be there.
	if s.gen = latest; s.gen < maxGeneration {
		s.gen++ // frames left over behind the end do not pass again
	}
	s.committer, s.began = l.counters.newCommitter(f.Core()), s.end
	if l.meta.clean.closed {
		s.durable.Store(s.end)
	}
	return nil
}

// loadIndex reads the index behind the frames of a segment that is mapped.
func (s *segment) loadIndex(sum uint32) error {
	b := make([]byte, indexSize(s.end))
	if _, err := s.file.Core().ReadAt(b, s.end); err != nil {
		return err
	}
	marks, ok := decodeIndex(b, sum, s.end, s.count)
	if !ok {
		return &CorruptError{s.name, s.end, "the index is damaged"}
	}
	s.marks = marks
	return nil
}

// scanAhead is how many bytes are brought into memory before they are scanned.
const scanAhead = 4 << 20

// scan finds the end of a segment that is not sealed: the first frame that is
// not whole, or was cut off. No frame has a generation after latest.
func (s *segment) scan(ctx context.Context, cut cut, latest uint16) error {
	pin, err := s.file.Core().Pin(0, s.size)
	if err != nil {
		return err
	}
	defer pin.Release()
	ready := int64(0)
	need := func(end int64) error {
		for ready < min(end, s.size) {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			n := min(scanAhead, s.size-ready)
			if err := s.file.Core().Populate(ready, n); err != nil {
				return err
			}
			ready += n
		}
		return nil
	}
	return pin.Do(func(b []byte) error {
		limit := s.size - trailerSize
		for s.end+frameHeader <= limit {
			if err := need(s.end + frameHeader); err != nil {
				return err
			}
			if err := need(s.end + frameSize(int64(readFrame(b[s.end:]).length))); err != nil {
				return err
			}
			f, ok := valid(b[s.end:limit], s.sum)
			if !ok || !f.follows(s.first+s.count, s.gen) || cut.covers(s.seq, s.end, f.gen) {
				break
			}
			if f.gen > latest {
				return &CorruptError{s.name, s.end, "the frame is newer than the meta file"}
			}
			s.took(f)
			if claim := int64(f.durable) * frameAlign; claim <= s.end {
				s.durable.Store(max(s.durable.Load(), claim))
			}
		}
		if err := need(limit); err != nil {
			return err
		}
		return s.explain(b[:limit], cut, latest)
	})
}

// took counts a frame at the end of the segment.
func (s *segment) took(f frame) {
	if n := len(s.marks); n == 0 || markUnitOf(s.end) != markUnitOf(s.marks[n-1].off()) {
		s.marks = append(s.marks, mark{uint32(s.end / frameAlign), uint32(s.count)})
	}
	s.count++
	s.end += frameSize(int64(f.length))
	s.gen = f.gen
}

// explain looks behind the end that scan has found for a frame that claims that
// the end had been durable: then a durable frame has been damaged.
func (s *segment) explain(b []byte, cut cut, latest uint16) error {
	for off := s.end; off+frameHeader <= int64(len(b)); off += frameAlign {
		f := readFrame(b[off:])
		claim := int64(f.durable) * frameAlign
		if claim <= s.end || claim > off || f.gen < s.gen || f.gen > latest || cut.covers(s.seq, off, f.gen) {
			continue
		}
		if _, ok := valid(b[off:], s.sum); ok {
			return &CorruptError{s.name, s.end, fmt.Sprintf("a frame that was durable is damaged: the one at %d shows that", off)}
		}
	}
	return nil
}

// restore makes the end of a log durable that was not closed. Its bytes may be in
// memory only: the process was killed before it had flushed them, or the flush
// failed, after which the system takes the pages for clean. So they are stored
// again first.
func (l *Log) restore() error {
	if len(l.segments) == 0 {
		return nil
	}
	s := l.segments[len(l.segments)-1]
	f := s.file
	if s.sealed { // its frames were durable before its trailer was stored
		var err error
		if f, err = mapSegment(l.pool(), s.name, core.ReadWrite); err != nil {
			return err
		}
		defer f.Close()
	}
	again := func(off, end int64) error {
		b := make([]byte, end-off)
		if _, err := f.Core().ReadAt(b, off); err != nil {
			return err
		}
		_, err := f.Core().WriteAt(b, off)
		return err
	}
	if err := again(0, headerBytes); err != nil {
		return err
	}
	if s.sealed {
		if err := again(s.end, s.end+indexSize(s.end)); err != nil {
			return err
		}
		if err := again(s.size-trailerSize, s.size); err != nil {
			return err
		}
	} else {
		if err := again(max(s.durable.Load(), pageSize), s.end); err != nil {
			return err
		}
		s.durable.Store(s.end)
	}
	return f.Core().FlushRange(0, s.size)
}

// collectSpares keeps files of standard size that belong to no segment for
// later, and removes the others.
func (l *Log) collectSpares(names []string) {
	live := map[string]bool{}
	for _, s := range l.segments {
		live[s.name] = true
	}
	for _, name := range names {
		if live[name] {
			continue
		}
		fi, err := os.Stat(name)
		if err == nil && fi.Size() == l.opts.SegmentSize && len(l.spares) < l.opts.Spare {
			l.spares = append(l.spares, spare{name, fi.Size(), true})
			continue
		}
		_ = os.Remove(name) // a file that stays is found at the next opening
	}
}

// syncFile makes the bytes of a file durable. It is a variable for tests.
var syncFile = func(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// storeIndex stores the index of the tail behind its frames, durably, and
// returns its checksum.
func (s *segment) storeIndex() (sum uint32, err error) {
	b := encodeIndex(s.marks, s.end)
	if _, err := s.file.Core().WriteAt(b, s.end); err != nil {
		return 0, err
	}
	return crc32.Checksum(b, castagnoli), s.file.Core().FlushRange(s.end, int64(len(b)))
}
