package core_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"github.com/fmmap-go/fmmap/core"
)

// player is a record of the table in ExampleSlice_table.
type player struct {
	id    uint32
	score int32
}

// table is a file of players that grows while it is read.
type table struct {
	file *core.File
	mu   sync.Mutex // held while appending
	rows int        // guarded by mu
}

const rowSize = int64(unsafe.Sizeof(player{}))

// append adds a player at the end. Readers are not in its way: growing never
// moves what they have pinned.
func (t *table) append(p player) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	off := int64(t.rows) * rowSize
	if off+rowSize > t.file.Len() {
		if err := t.file.Truncate(2 * t.file.Len()); err != nil {
			return err // as on a full disk
		}
	}
	pin, err := t.file.Pin(off, rowSize)
	if err != nil {
		return err
	}
	defer pin.Release()
	row, err := core.At[player](pin, 0)
	if err != nil {
		return err
	}
	*row = p
	t.rows++
	return nil
}

// snapshot returns the rows there are, in place, and what releases them.
func (t *table) snapshot() (rows []player, release func(), err error) {
	t.mu.Lock()
	n := t.rows
	t.mu.Unlock()
	pin, err := t.file.Pin(0, int64(n)*rowSize)
	if err != nil {
		return nil, nil, err
	}
	rows, err = core.Slice[player](pin, 0, n)
	if err != nil {
		pin.Release()
		return nil, nil, err
	}
	return rows, pin.Release, nil
}

// A table of fixed records grows under its readers: each works on the rows that
// were there when it began, in place, while others are appended.
func ExampleSlice_table() {
	dir, err := os.MkdirTemp("", "fmmap-table-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	f, err := core.Create(filepath.Join(dir, "players"), 4*rowSize)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	t := &table{file: f}
	for i := range 4 {
		if err := t.append(player{uint32(i), 10}); err != nil {
			log.Fatal(err)
		}
	}
	rows, release, err := t.snapshot()
	if err != nil {
		log.Fatal(err)
	}
	defer release()
	for i := range 1000 { // the file grows eight times
		if err := t.append(player{uint32(4 + i), 1}); err != nil {
			log.Fatal(err)
		}
	}
	sum := 0
	for _, p := range rows {
		sum += int(p.score)
	}
	fmt.Println(len(rows), "rows then, with a sum of", sum)
	now, done, err := t.snapshot()
	if err != nil {
		log.Fatal(err)
	}
	defer done()
	fmt.Println(len(now), "rows now")
	// Output:
	// 4 rows then, with a sum of 40
	// 1004 rows now
}
