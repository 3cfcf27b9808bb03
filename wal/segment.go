package wal

import (
	"context"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/sys"
)

const (
	version     = 2
	headerBytes = 96 // within one sector, so that a power cut does not tear it
	trailerSize = 64
	// markUnit is how many bytes of frames share an entry of a segment's index. So
	// a record is found, and brought into memory, with little of what lies beside
	// it, and the index is short in any case.
	markUnit  = pageSize
	markBytes = 8 // length of an entry
)

var (
	segmentMagic = [8]byte{'f', 'm', 'm', 'a', 'p', 'w', 'a', 'l'}
	trailerMagic = [8]byte{'f', 'm', 'm', 'a', 'p', 'e', 'n', 'd'}
)

// identity is the random name of a log, in every segment.
type identity [16]byte

// header is the first page of a segment: which life of the file this is.
type header struct {
	id      identity
	seq     uint64 // of the segment; no two lives of a log have the same
	salt    uint64 // random
	first   uint64 // index of the first record
	prevSeq uint64 // the segment before, 0 for none
	// prevCuts is the number of cuts there had been when that was sealed.
	prevCuts uint64
	size     int64 // of the file
}

func (h header) encode() []byte {
	b := make([]byte, headerBytes)
	copy(b, segmentMagic[:])
	le.PutUint32(b[8:], version)
	copy(b[16:], h.id[:])
	le.PutUint64(b[32:], h.seq)
	le.PutUint64(b[40:], h.salt)
	le.PutUint64(b[48:], h.first)
	le.PutUint64(b[56:], h.prevSeq)
	le.PutUint64(b[64:], h.prevCuts)
	le.PutUint64(b[72:], uint64(h.size))
	le.PutUint32(b[headerBytes-4:], crc32.Checksum(b[:headerBytes-4], castagnoli))
	return b
}

// decodeHeader reports whether b is the header of a segment of the log id.
func decodeHeader(b []byte, id identity) (h header, ok bool) {
	if len(b) < headerBytes || [8]byte(b) != segmentMagic || le.Uint32(b[8:]) != version ||
		le.Uint32(b[headerBytes-4:]) != crc32.Checksum(b[:headerBytes-4], castagnoli) || identity(b[16:32]) != id {
		return h, false
	}
	h = header{id, le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint64(b[48:]), le.Uint64(b[56:]), le.Uint64(b[64:]), int64(le.Uint64(b[72:]))}
	return h, h.seq != 0 && h.size >= pageSize+trailerSize
}

// seed returns the value that the checksums of the segment's frames begin with.
func (h header) seed() uint32 {
	b := append([]byte{}, h.id[:]...)
	b = le.AppendUint64(b, h.seq)
	b = le.AppendUint64(b, h.salt)
	return crc32.Checksum(b, castagnoli)
}

// trailer is the last bytes of a sealed segment.
type trailer struct {
	count uint64 // records
	end   int64  // where the frames end and the index begins
	gen   uint16 // generation of frames to come
	index uint32 // checksum of the index
	cuts  uint64 // how many cuts of the log there had been
}

func (t trailer) encode(h header) []byte {
	b := make([]byte, trailerSize)
	copy(b, trailerMagic[:])
	le.PutUint64(b[8:], h.seq)
	le.PutUint64(b[16:], h.salt)
	le.PutUint64(b[24:], t.count)
	le.PutUint64(b[32:], uint64(t.end))
	le.PutUint16(b[40:], t.gen)
	le.PutUint32(b[44:], t.index)
	le.PutUint64(b[48:], t.cuts)
	le.PutUint32(b[trailerSize-4:], crc32.Checksum(b[:trailerSize-4], castagnoli))
	return b
}

// decodeTrailer reports whether b is the trailer of the segment h.
func decodeTrailer(b []byte, h header) (t trailer, ok bool) {
	if len(b) != trailerSize || [8]byte(b) != trailerMagic || le.Uint64(b[8:]) != h.seq || le.Uint64(b[16:]) != h.salt ||
		le.Uint32(b[trailerSize-4:]) != crc32.Checksum(b[:trailerSize-4], castagnoli) {
		return t, false
	}
	t = trailer{le.Uint64(b[24:]), int64(le.Uint64(b[32:])), le.Uint16(b[40:]), le.Uint32(b[44:]), le.Uint64(b[48:])}
	return t, t.end >= pageSize && t.end < h.size && t.end+indexSize(t.end) <= h.size-trailerSize
}

// A mark is the place of a record in its segment: of the first one whose frame
// begins in a unit of markUnit bytes.
type mark struct {
	at     uint32 // offset/8 of the frame
	record uint32 // its number in the segment, from 0
}

func (m mark) off() int64 { return int64(m.at) * frameAlign }

// markUnitOf returns in which unit of the frames an offset lies.
func markUnitOf(off int64) int64 { return (off - pageSize) / markUnit }

// indexSize returns the length of the index of a segment whose frames end at end.
func indexSize(end int64) int64 { return markUnitOf(end-1+markUnit) * markBytes }

// encodeIndex returns the index as it is stored behind the frames: an entry per
// unit, of zeros where no frame begins.
func encodeIndex(marks []mark, end int64) []byte {
	b := make([]byte, indexSize(end))
	for _, m := range marks {
		e := b[markUnitOf(m.off())*markBytes:]
		le.PutUint32(e, m.at)
		le.PutUint32(e[4:], m.record)
	}
	return b
}

// decodeIndex checks the index of a segment with count records, whose frames end
// at end, against its checksum.
func decodeIndex(b []byte, sum uint32, end int64, count uint64) (marks []mark, ok bool) {
	if crc32.Checksum(b, castagnoli) != sum {
		return nil, false
	}
	for unit := int64(0); int64(len(b)) >= markBytes; unit++ {
		m := mark{le.Uint32(b), le.Uint32(b[4:])}
		b = b[markBytes:]
		if m == (mark{}) {
			continue
		}
		if m.off() < pageSize || m.off() >= end || markUnitOf(m.off()) != unit || uint64(m.record) >= count {
			return nil, false
		}
		if n := len(marks); n == 0 && m != (mark{pageSize / frameAlign, 0}) || n > 0 && m.record <= marks[n-1].record {
			return nil, false
		}
		marks = append(marks, m)
	}
	return marks, (len(marks) == 0) == (count == 0)
}

// before returns which of the marks is the last one at or before the n-th record
// of the segment.
func before(marks []mark, n uint64) int {
	lo, hi := 0, len(marks) // marks[lo].record <= n, and n < marks[hi].record
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) / 2); uint64(marks[mid].record) <= n {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// segment is a segment that belongs to the log. The fields after file are
// guarded by Log.mu, and those of a sealed segment that are not about its
// mapping no longer change.
type segment struct {
	header
	name string
	sum  uint32 // seed()

	// durable is where the frames that are durable end; it may lag behind. It
	// changes together with Log.durable, under Log.waiting.
	durable atomic.Int64
	// writes counts calls of Write that have stored and not flushed yet. Log.writer
	// is held where it grows, and by the methods that wait for it.
	writes sync.WaitGroup

	file    *async.File               // nil while the segment is not mapped
	closing []*async.Future[struct{}] // earlier mappings that pins may still keep
	used    atomic.Uint64             // Log.clock when a reader last came
	marks   []mark                    // nil with file for a sealed segment
	count   uint64                    // records
	end     int64                     // where the next frame goes
	gen     uint16                    // of the frames to come
	cuts    uint64                    // of the trailer, once sealed
	sealed  bool
	dead    bool // no part of the log any more
	// look is where the frames end when a spare is looked after next; guarded by
	// Log.writer.
	look int64

	committer *flush.Committer // of the tail; changes with Log.writer held too
	began     int64            // where the frames ended when it was made
}

// last returns the index of the last record, first-1 without any.
func (s *segment) last() uint64 { return s.first + s.count - 1 }

// unmap closes the mapping. Pins keep their bytes until they are released.
// Log.mu is held.
func (s *segment) unmap() {
	if s.file == nil {
		return
	}
	s.closing = slices.DeleteFunc(s.closing, func(f *async.Future[struct{}]) bool {
		_, _, over := f.TryResult()
		return over
	})
	s.closing = append(s.closing, s.file.StartClose(context.Background()))
	s.file = nil
}

// room reports whether records whose frames take total bytes fit behind
// those of the segment, with the index and the trailer.
func (s *segment) room(total int64) bool {
	return s.gen < maxGeneration && s.end+total+indexSize(s.end+total) <= s.size-trailerSize
}

const segmentPrefix, segmentSuffix = "segment-", ".wal"

// segmentName returns the name of the number-th segment file.
func segmentName(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%08d%s", segmentPrefix, number, segmentSuffix))
}

// segmentNumber returns the number in the name of a segment file.
func segmentNumber(name string) (number uint64, ok bool) {
	digits, prefixed := strings.CutPrefix(name, segmentPrefix)
	digits, suffixed := strings.CutSuffix(digits, segmentSuffix)
	if !prefixed || !suffixed {
		return 0, false
	}
	_, err := fmt.Sscanf(digits, "%d", &number)
	return number, err == nil && filepath.Base(segmentName("", number)) == name
}

// mapSegment maps a segment file. The lock on meta stands for all of the log's
// files, and none of them is shortened while it is mapped. Nothing is read ahead
// of single records, and stores dirty small folios.
func mapSegment(pool *async.Pool, name string, access core.Access) (*async.File, error) {
	f, err := core.OpenFile(name, core.Options{Access: access, NoLock: true, Reserve: 1, Stores: core.ViaCall})
	if err != nil {
		return nil, err
	}
	_ = f.Advise(core.AdviceRandom, 0, f.Len()) // a hint
	return async.Wrap(pool, f), nil
}

// newSegmentFile makes a file that fill fills, durable with its name. On an error
// there is none.
func newSegmentFile(name string, fill func(f *os.File) error) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			_ = os.Remove(name)
		}
	}()
	if err := fill(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return core.SyncParent(name)
}

const aheadStep = 1 << 20 // bytes that are written ahead at a time

// writeAhead makes a segment file of zeros that has its blocks, written, so that
// flushing it later changes no metadata. Writes of one page keep the folios of
// the page cache small: a store into the map makes a whole folio dirty. may is
// called with an offset before the bytes from there on are written, and may
// wait; its error ends the work. What waits for the device is never much: others
// that flush to it meanwhile would wait for all of that.
func writeAhead(name string, size int64, may func(off int64) error) error {
	return newSegmentFile(name, func(f *os.File) error {
		zeros := make([]byte, pageSize)
		for off := int64(0); off < size; off += pageSize {
			if off%aheadStep == 0 {
				if off%(4*aheadStep) == 0 && off > 0 {
					if err := f.Sync(); err != nil {
						return err
					}
				}
				if err := may(off); err != nil {
					return err
				}
			}
			if _, err := f.WriteAt(zeros[:min(pageSize, size-off)], off); err != nil {
				return err
			}
		}
		return nil
	})
}

// allocate makes a segment file of zeros that has its blocks, of which none was
// written yet. It returns errors.ErrUnsupported where the file system cannot do
// that. It is a variable for tests.
var allocate = func(name string, size int64) error {
	return newSegmentFile(name, func(f *os.File) error { return sys.Allocate(f, 0, size) })
}
