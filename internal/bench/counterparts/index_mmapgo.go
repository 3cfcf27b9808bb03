package counterparts

import (
	"io/fs"
	"os"
	"sync"

	"github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"
)

type mmapgoIndex struct {
	name string
	mu   sync.RWMutex // held shared during a lookup, so that the bytes stay mapped
	file *os.File
	data mmap.MMap
}

func openMmapgoIndex(name string) (index, error) {
	f, data, err := openMapped(name)
	if err != nil {
		return nil, err
	}
	return &mmapgoIndex{name: name, file: f, data: data}, nil
}

// openMapped opens and maps a file that holds its lock shared.
func openMapped(name string) (*os.File, mmap.MMap, error) {
	f, err := openLocked(name, os.O_RDONLY, unix.LOCK_SH|unix.LOCK_NB)
	if err != nil {
		return nil, nil, err
	}
	data, err := mapWhole(f, mmap.RDONLY)
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, data, nil
}

func (x *mmapgoIndex) Lookup(key string) (value string, err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.file == nil {
		return "", fs.ErrClosed
	}
	err = guard(x.data, func() error {
		value = find(x.data, key)
		return nil
	})
	return value, err
}

func (x *mmapgoIndex) Reload() error {
	x.mu.RLock()
	was, err := x.file.Stat()
	x.mu.RUnlock()
	if err != nil {
		return err
	}
	now, err := os.Stat(x.name)
	if err != nil || os.SameFile(was, now) {
		return err
	}
	f, data, err := openMapped(x.name)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	err = unmapAndClose(x.file, x.data)
	x.file, x.data = f, data
	return err
}

func (x *mmapgoIndex) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.file
	x.file = nil
	return unmapAndClose(f, x.data)
}
