package wal

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"math"

	"github.com/fmmap-go/fmmap/core"
)

const (
	pageSize    = 4096
	frameHeader = 16
	frameAlign  = 8
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	le         = binary.LittleEndian
)

// frameSize returns how many bytes of a segment a record of n bytes takes.
func frameSize(n int64) int64 { return frameHeader + (n+frameAlign-1)&^(frameAlign-1) }

// frame is the header of a record in a segment.
type frame struct {
	sum     uint32
	length  uint32 // of the record
	durable uint32 // offset/8 up to which the segment was durable at the store
	gen     uint16 // generation
	index   uint16 // the low bits of the record's index
}

// readFrame decodes the frame at the start of b, which holds a frame header at
// least.
func readFrame(b []byte) frame {
	return frame{le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint16(b[12:]), le.Uint16(b[14:])}
}

// A frameWriter stores frames at an offset of a segment: a few of them in the
// map, more by calls of [core.File.WriteAt]. In the map each page of a long
// batch would be a page fault; a call would wait for the flush of the pages
// before, as many appenders of short records do not.
type frameWriter struct {
	file *core.File
	off  int64
	buf  *bufio.Writer
}

const (
	frameBuffer = 64 << 10 // length of the buffer of a frameWriter
	frameCall   = 32 << 10 // what is at least so long is stored by a call
)

// reset begins to store at off of the file f.
func (w *frameWriter) reset(f *core.File, off int64) {
	w.file, w.off = f, off
	if w.buf == nil {
		w.buf = bufio.NewWriterSize(nil, frameBuffer)
	}
	w.buf.Reset(w)
}

// Write stores b. It is for buf.
func (w *frameWriter) Write(b []byte) (n int, err error) {
	if len(b) < frameCall {
		err = w.file.Update(func(m []byte) error { n = copy(m[w.off:], b); return nil })
	} else {
		n, err = w.file.WriteAt(b, w.off)
	}
	w.off += int64(n)
	return n, err
}

// put adds a record with its frame. An error is kept for flush. The sum is made
// of the caller's bytes, so that a store that went wrong does not pass.
func (w *frameWriter) put(seed uint32, f frame, record []byte) {
	var b [frameHeader]byte
	le.PutUint32(b[4:], f.length)
	le.PutUint32(b[8:], f.durable)
	le.PutUint16(b[12:], f.gen)
	le.PutUint16(b[14:], f.index)
	le.PutUint32(b[:], crc32.Update(crc32.Update(seed, castagnoli, b[4:]), castagnoli, record))
	_, _ = w.buf.Write(b[:])
	_, _ = w.buf.Write(record)
	clear(b[:])
	_, _ = w.buf.Write(b[:frameSize(int64(len(record)))-frameHeader-int64(len(record))])
}

// flush stores what is in the buffer.
func (w *frameWriter) flush() error { return w.buf.Flush() }

// valid reports whether b starts with a whole frame whose checksum is right, and
// returns it.
func valid(b []byte, seed uint32) (frame, bool) {
	if len(b) < frameHeader {
		return frame{}, false
	}
	f := readFrame(b)
	if frameSize(int64(f.length)) > int64(len(b)) {
		return f, false
	}
	return f, checksum(b, seed, f) == f.sum
}

// checksum computes the checksum of the frame f at the start of b.
func checksum(b []byte, seed uint32, f frame) uint32 {
	sum := crc32.Update(seed, castagnoli, b[4:frameHeader])
	return crc32.Update(sum, castagnoli, b[frameHeader:frameHeader+int64(f.length)])
}

// follows reports whether a frame may stand where the next record has the given
// index and the frame before has the generation gen.
func (f frame) follows(index uint64, gen uint16) bool {
	return f.index == uint16(index) && f.gen >= gen
}

// maxGeneration is the last generation of a segment; then a new one is begun.
const maxGeneration = math.MaxUint16
