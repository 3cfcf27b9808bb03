package counterparts

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"
)

// mmapgoQueue is a file that begins with the offsets of the first record and
// behind the last. Records are a length and bytes. They are flushed before the
// offset that makes them count.
type mmapgoQueue struct {
	mu   sync.Mutex
	file *os.File
	data mmap.MMap // nil when closed
}

const queueHeader = 16

func openMmapgoQueue(name string) (_ queue, err error) {
	q := &mmapgoQueue{}
	if q.file, err = openLocked(name, os.O_RDWR|os.O_CREATE, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, err
	}
	if q.data, err = mapGrown(q.file, firstLen); err != nil {
		_ = q.file.Close()
		return nil, err
	}
	err = guard(q.data, func() error {
		head, tail := q.ends()
		if tail == 0 { // new
			q.setEnds(queueHeader, queueHeader)
		} else if head < queueHeader || head > tail || tail > uint64(len(q.data)) {
			return errors.New("not a queue")
		}
		return nil
	})
	if err != nil {
		_ = q.Close()
		return nil, err
	}
	return q, nil
}

func (q *mmapgoQueue) ends() (head, tail uint64) {
	return binary.LittleEndian.Uint64(q.data), binary.LittleEndian.Uint64(q.data[8:])
}

func (q *mmapgoQueue) setEnds(head, tail uint64) {
	binary.LittleEndian.PutUint64(q.data, head)
	binary.LittleEndian.PutUint64(q.data[8:], tail)
}

func (q *mmapgoQueue) Put(lines ...string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.data == nil {
		return fs.ErrClosed
	}
	var record []byte
	for _, line := range lines {
		record = binary.LittleEndian.AppendUint32(record, uint32(len(line)))
		record = append(record, line...)
	}
	if err := q.grow(len(record)); err != nil {
		return err
	}
	return guard(q.data, func() error {
		head, tail := q.ends()
		end := tail + uint64(copy(q.data[tail:], record))
		if err := q.data.Flush(); err != nil {
			return err
		}
		q.setEnds(head, end)
		return q.data.Flush()
	})
}

// grow makes room for n bytes behind the last record.
func (q *mmapgoQueue) grow(n int) error {
	size := int64(len(q.data))
	err := guard(q.data, func() error {
		_, tail := q.ends()
		for size < int64(tail)+int64(n) {
			size *= 2
		}
		return nil
	})
	if err != nil || size == int64(len(q.data)) {
		return err
	}
	old := q.data
	data, err := mapGrown(q.file, size)
	if err != nil {
		return err
	}
	q.data = data
	return old.Unmap()
}

func (q *mmapgoQueue) Take(n int) (lines []string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.data == nil {
		return nil, fs.ErrClosed
	}
	err = guard(q.data, func() error {
		head, tail := q.ends()
		for ; head < tail && len(lines) < n; head += 4 {
			length := uint64(binary.LittleEndian.Uint32(q.data[head:]))
			lines = append(lines, string(q.data[head+4:head+4+length]))
			head += length
		}
		if head == tail { // empty: begin at the front again
			head, tail = queueHeader, queueHeader
		}
		q.setEnds(head, tail)
		return q.data.Flush()
	})
	return lines, err
}

func (q *mmapgoQueue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	data := q.data
	q.data = nil
	return unmapAndClose(q.file, data)
}
