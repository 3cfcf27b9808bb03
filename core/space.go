package core

import (
	"errors"
	"os"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// extendFile makes the file longer, with blocks unless it is to be sparse, written
// if they are to be written ahead. On an error it has its old length.
func (f *File) extendFile(from, to int64) error {
	err := errors.ErrUnsupported
	if !f.opts.Sparse {
		err = sys.Allocate(f.file, from, to-from)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		err = sys.Truncate(f.file, to)
	}
	if err == nil && f.opts.WrittenAhead {
		if err = writeZeros(f.file, from, to); err == nil {
			f.stores.recent.writtenAhead(from - f.opts.Offset + f.skew())
		}
	}
	if err != nil {
		// A failed allocation may have gone half way.
		_ = sys.Truncate(f.file, from)
	}
	return err
}

// writeZeros writes zeros to [from, to) of the file and to the device. Writes of
// one page keep the folios of the page cache small: a store through the mapping
// makes a whole folio dirty.
func writeZeros(f *os.File, from, to int64) error {
	page := sys.PageSize()
	zeros := make([]byte, page)
	for off := from; off < to; {
		end := min(off/page*page+page, to)
		if _, err := f.WriteAt(zeros[:end-off], off); err != nil {
			return err
		}
		off = end
	}
	return sys.SyncFile(f)
}

// fillHoles gives blocks to the holes in [from, to) of the window, on a file of
// the given size, so that a store into one cannot meet a full disk. filled are
// the holes, even if some of them could not be filled. Where the file system cannot
// promise blocks, only the guard protects such a store.
func (f *File) fillHoles(from, to, size int64) (filled []sys.Span, err error) {
	if from >= to || f.access != ReadWrite || f.readOnly || f.opts.Sparse || f.device {
		return nil, nil
	}
	// Whole pages, as blocks are never less than what is in one, up to the end.
	page := sys.PageSize()
	off := (f.opts.Offset + from) / page * page
	end := min((f.opts.Offset+to+page-1)/page*page, size)
	missing, exact, err := sys.Missing(f.file, off, end-off)
	if errors.Is(err, errors.ErrUnsupported) {
		missing = []sys.Span{{Off: off, Len: end - off}}
	} else if err != nil {
		return nil, err
	}
	if len(missing) == 0 {
		return nil, nil
	}
	var need int64
	for _, s := range missing {
		need += s.Len
	}
	if exact {
		if free, err := sys.FreeSpace(f.file); err == nil && free < need {
			return nil, sys.ErrNoSpace // now, rather than when the disk is full to the brim
		}
	}
	last := missing[len(missing)-1]
	off, end = missing[0].Off, last.Off+last.Len
	if err := sys.FillHoles(f.file, off, end-off); !errors.Is(err, errors.ErrUnsupported) {
		if !exact {
			missing = nil // some may have had blocks before
		}
		return missing, err
	}
	return nil, nil
}

// giveBack frees the blocks that fillHoles has given to holes when opening fails
// later on. It does so only under the lock, which keeps other processes from
// storing there meanwhile, and skips what holds data all the same.
func (f *File) giveBack(filled []sys.Span) {
	if f.lock == nil {
		return
	}
	for _, s := range filled {
		if sys.IsHole(f.file, s) {
			_ = sys.PunchHole(f.file, s.Off, s.Len)
		}
	}
}
