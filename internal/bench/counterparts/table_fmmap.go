package counterparts

import (
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/core"
)

// fmmapTable is a file of rows. The first holds their number.
type fmmapTable struct {
	*core.File
	mu   sync.Mutex // held by an append
	rows atomic.Int64
}

func openFmmapTable(name string) (table, error) {
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: firstLen})
	if err != nil {
		return nil, err
	}
	t := &fmmapTable{File: f}
	rows, err := core.Get[int64](f, 0, binary.LittleEndian)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	t.rows.Store(rows)
	return t, nil
}

func (t *fmmapTable) Append(r [rowSize]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := t.rows.Load() + 1
	if (rows+1)*rowSize > t.Len() {
		if err := t.Truncate(2 * t.Len()); err != nil {
			return err
		}
	}
	if _, err := t.WriteAt(r[:], rows*rowSize); err != nil {
		return err
	}
	t.rows.Store(rows)
	return core.Put(t.File, 0, binary.LittleEndian, rows)
}

func (t *fmmapTable) Get(i int64) (r [rowSize]byte, err error) {
	if i >= t.rows.Load() {
		return r, io.EOF
	}
	_, err = t.ReadAt(r[:], (i+1)*rowSize)
	return r, err
}
