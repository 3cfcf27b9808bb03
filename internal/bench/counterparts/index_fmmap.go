package counterparts

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/core"
)

type fmmapIndex struct {
	name string
	file atomic.Pointer[core.File]
}

func openFmmapIndex(name string) (index, error) {
	f, err := core.Open(name)
	if err != nil {
		return nil, err
	}
	x := &fmmapIndex{name: name}
	x.file.Store(f)
	return x, nil
}

func (x *fmmapIndex) Lookup(key string) (value string, err error) {
	for {
		f := x.file.Load()
		err = f.View(func(b []byte) error {
			value = find(b, key)
			return nil
		})
		if !errors.Is(err, fs.ErrClosed) || x.file.Load() == f { // else replaced since
			return value, err
		}
	}
}

func (x *fmmapIndex) Reload() error {
	old := x.file.Load()
	was, err := old.Stat()
	if err != nil {
		return err
	}
	now, err := os.Stat(x.name)
	if err != nil || os.SameFile(was, now) {
		return err
	}
	f, err := core.Open(x.name)
	if err != nil {
		return err
	}
	x.file.Store(f)
	return old.Close() // waits for its lookups
}

func (x *fmmapIndex) Close() error { return x.file.Load().Close() }
