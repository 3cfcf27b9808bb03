package counterparts

import (
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"
)

// mmapgoTable is a file of rows. The first holds their number.
type mmapgoTable struct {
	mu   sync.RWMutex // held shared by a read, so that the bytes stay mapped
	file *os.File
	data mmap.MMap // nil when closed
	rows int64
}

func openMmapgoTable(name string) (_ table, err error) {
	t := &mmapgoTable{}
	if t.file, err = openLocked(name, os.O_RDWR|os.O_CREATE, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, err
	}
	if t.data, err = mapGrown(t.file, firstLen); err != nil {
		_ = t.file.Close()
		return nil, err
	}
	err = guard(t.data, func() error {
		t.rows = int64(binary.LittleEndian.Uint64(t.data))
		return nil
	})
	if err != nil {
		_ = t.Close()
		return nil, err
	}
	return t, nil
}

func (t *mmapgoTable) Append(r [rowSize]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.data == nil {
		return fs.ErrClosed
	}
	rows := t.rows + 1
	if size := int64(len(t.data)); (rows+1)*rowSize > size {
		old := t.data
		data, err := mapGrown(t.file, 2*size)
		if err != nil {
			return err
		}
		t.data = data
		if err := old.Unmap(); err != nil {
			return err
		}
	}
	return guard(t.data, func() error {
		copy(t.data[rows*rowSize:], r[:])
		binary.LittleEndian.PutUint64(t.data, uint64(rows))
		t.rows = rows
		return nil
	})
}

func (t *mmapgoTable) Get(i int64) (r [rowSize]byte, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.data == nil {
		return r, fs.ErrClosed
	}
	if i >= t.rows {
		return r, io.EOF
	}
	err = guard(t.data, func() error {
		copy(r[:], t.data[(i+1)*rowSize:])
		return nil
	})
	return r, err
}

func (t *mmapgoTable) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	data := t.data
	t.data = nil
	return unmapAndClose(t.file, data)
}
