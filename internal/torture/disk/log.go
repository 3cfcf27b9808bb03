package disk

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Record is one entry of a disk's log: a write that was done, or a flush that
// succeeded.
type Record struct {
	Op       Op
	Off, Len int64 // of a write
	// Covers is, for a flush, how many records there were when it began: their
	// writes are durable now. A flush that was a lie covers nothing.
	Covers int64

	data int64 // of a write: where its bytes are in the data file
}

// recordSize is the size of a record in the log file: four numbers, the first
// being 1 for a write and 2 for a flush.
const recordSize = 32

func (r Record) encode() (b [recordSize]byte) {
	kind, last := uint64(1), r.data
	if r.Op == Flush {
		kind, last = 2, r.Covers
	}
	for i, v := range []uint64{kind, uint64(r.Off), uint64(r.Len), uint64(last)} {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	return b
}

func decode(b []byte) Record {
	at := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[8*i:])) }
	if at(0) == 2 {
		return Record{Op: Flush, Covers: at(3)}
	}
	return Record{Op: Write, Off: at(1), Len: at(2), data: at(3)}
}

// A Position is the length of a disk's log, without asking the server: the
// processes share a word of memory. It may be used by many goroutines, and by
// any process of the machine ([OpenPosition]).
type Position struct {
	word *atomic.Int64
	mem  []byte
}

// OpenPosition opens the position of the disk whose [Disk.Dir] is dir.
func OpenPosition(dir string) (*Position, error) {
	f, err := os.OpenFile(filepath.Join(dir, headName), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mem, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	// In bounds and aligned: the file has a page; alive: until Close.
	return &Position{(*atomic.Int64)(unsafe.Pointer(&mem[0])), mem}, nil
}

// Load returns the number of records in the log. All that ended before the call
// is among them.
func (p *Position) Load() int64 { return p.word.Load() }

// Close unmaps the memory. Load must not be called after it.
func (p *Position) Close() error { return unix.Munmap(p.mem) }

// reader reads the log of a disk, keeping the records that it has read.
type reader struct {
	log, data *os.File
	position  *Position
	records   []Record
	durable   []int64 // durable[i]: what the flushes among the first i records cover
}

func openReader(dir string) (r *reader, err error) {
	r = &reader{durable: []int64{0}}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.log, err = os.Open(filepath.Join(dir, logName)); err != nil {
		return r, err
	}
	if r.data, err = os.Open(filepath.Join(dir, dataName)); err != nil {
		return r, err
	}
	r.position, err = OpenPosition(dir)
	return r, err
}

// read reads on until r has the first n records.
func (r *reader) read(n int64) error {
	if n > r.position.Load() {
		return errors.New("the log is not that long")
	}
	have := int64(len(r.records))
	if n <= have {
		return nil
	}
	b := make([]byte, (n-have)*recordSize)
	if _, err := r.log.ReadAt(b, have*recordSize); err != nil {
		return err
	}
	for ; len(b) > 0; b = b[recordSize:] {
		rec := decode(b)
		r.records = append(r.records, rec)
		r.durable = append(r.durable, max(r.durable[len(r.durable)-1], rec.Covers))
	}
	return nil
}

// bytes reads what a write wrote.
func (r *reader) bytes(rec Record, buf []byte) ([]byte, error) {
	if int64(cap(buf)) < rec.Len {
		buf = make([]byte, rec.Len)
	}
	buf = buf[:rec.Len]
	_, err := r.data.ReadAt(buf, rec.data)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return buf, err
}

func (r *reader) close() {
	r.log.Close()
	r.data.Close()
	if r.position != nil {
		r.position.Close()
	}
}
