package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// A store is the server's side of the shared directory: what the disk reads
// now, and the log of how it came to be.
type store struct {
	*gate
	live, log, data *os.File
	position        *Position
	logging         bool

	mu  sync.Mutex // orders the records and the writes to live; guards all below
	end int64      // of data
	lie bool       // flushes succeed, and do nothing
}

func openStore(dir string, logging bool) (*store, error) {
	s := &store{gate: newGate(), logging: logging}
	for _, f := range []struct {
		to   **os.File
		name string
	}{{&s.live, liveName}, {&s.log, logName}, {&s.data, dataName}} {
		var err error
		if *f.to, err = os.OpenFile(filepath.Join(dir, f.name), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return nil, err
		}
	}
	head := filepath.Join(dir, headName)
	if err := os.WriteFile(head, make([]byte, os.Getpagesize()), 0o600); err != nil {
		return nil, err
	}
	var err error
	s.position, err = OpenPosition(dir)
	return s, err
}

// read fills dest, with zeroes past the end.
func (s *store) read(dest []byte, off int64) (int, syscall.Errno) {
	if errno := s.pass(Read, off, int64(len(dest))); errno != 0 {
		return 0, errno
	}
	n, err := s.live.ReadAt(dest, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, errnoOf(err)
}

func (s *store) write(b []byte, off int64) syscall.Errno {
	if errno := s.pass(Write, off, int64(len(b))); errno != 0 {
		return errno
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.live.WriteAt(b, off); err != nil {
		return errnoOf(err)
	}
	if !s.logging {
		return 0
	}
	if _, err := s.data.WriteAt(b, s.end); err != nil {
		return errnoOf(err)
	}
	rec := Record{Op: Write, Off: off, Len: int64(len(b)), data: s.end}
	s.end += rec.Len
	return s.append(rec)
}

// flush makes durable the writes that ended before it began, and is itself on
// record once it is over.
func (s *store) flush() syscall.Errno {
	began := s.position.Load()
	if errno := s.pass(Flush, 0, 0); errno != 0 {
		return errno
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.logging {
		return 0
	}
	if s.lie {
		began = 0
	}
	return s.append(Record{Op: Flush, Covers: began})
}

// append adds a record. s.mu is held.
func (s *store) append(r Record) syscall.Errno {
	n, b := s.position.Load(), r.encode()
	if _, err := s.log.WriteAt(b[:], n*recordSize); err != nil {
		return errnoOf(err)
	}
	s.position.word.Store(n + 1) // last, so that a reader that sees it finds the record
	return 0
}

func (s *store) setLie(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lie = on
}

// reset empties the log.
func (s *store) reset() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.position.word.Store(0)
	s.end = 0
	return errors.Join(s.log.Truncate(0), s.data.Truncate(0))
}

func (s *store) size() (int64, error) {
	fi, err := s.live.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

// errnoOf is the errno in err, EIO where there is none.
func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return errno
	}
	return syscall.EIO
}
