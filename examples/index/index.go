package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/core"
)

// An Index looks up lines "key TAB value" in a file that is sorted by its bytes,
// in place. When the name means another file, the index takes that up.
type Index struct {
	name string
	file atomic.Pointer[core.File]
}

// OpenIndex maps the file and brings it into memory.
func OpenIndex(name string) (*Index, error) {
	x := &Index{name: name}
	f, err := core.OpenFile(name, core.Options{Populate: true})
	if err != nil {
		return nil, err
	}
	x.file.Store(f)
	return x, nil
}

// Close waits for the lookups under way.
func (x *Index) Close() error { return x.file.Load().Close() }

// Lookup returns a copy of the value of key, and reports whether there is one.
// A file that was cut short meanwhile is an error, not the end of the process.
func (x *Index) Lookup(key string) (value []byte, ok bool, err error) {
	for {
		f := x.file.Load()
		err := f.View(func(b []byte) error {
			line := search(b, key)
			if v, found := bytes.CutPrefix(line, []byte(key+"\t")); found {
				value, ok = bytes.Clone(v), true // the bytes are the map's until View returns
			}
			return nil
		})
		if errors.Is(err, fs.ErrClosed) && x.file.Load() != f {
			continue // replaced since it was loaded
		}
		return value, ok, err
	}
}

// search returns the first line of b that is not less than key.
func search(b []byte, key string) []byte {
	lo, hi := 0, len(b) // lines that begin before lo are less, those from hi on are not
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		start := bytes.LastIndexByte(b[lo:mid], '\n') + 1 + lo
		end := start + len(line(b[start:]))
		if bytes.Compare(b[start:end], []byte(key+"\t")) < 0 {
			lo = min(end+1, hi)
		} else {
			hi = start
		}
	}
	return line(b[lo:])
}

// line returns the first line of b.
func line(b []byte) []byte {
	if before, _, ok := bytes.Cut(b, []byte{'\n'}); ok {
		return before
	}
	return b
}

// Reload maps the file that the name means now, if that is another one than
// before. Lookups go on meanwhile; those under way finish in the old file.
func (x *Index) Reload() (reloaded bool, err error) {
	old := x.file.Load()
	was, err := old.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Stat(x.name)
	if err != nil || os.SameFile(was, now) {
		return false, err
	}
	f, err := core.OpenFile(x.name, core.Options{Populate: true})
	if err != nil {
		return false, err
	}
	x.file.Store(f)
	return true, old.Close() // waits for its lookups
}

// Watch calls Reload now and then until ctx is done, and report with what comes
// of it.
func (x *Index) Watch(ctx context.Context, every time.Duration, report func(reloaded bool, err error)) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if reloaded, err := x.Reload(); reloaded || err != nil {
				report(reloaded, err)
			}
		case <-ctx.Done():
			return
		}
	}
}
