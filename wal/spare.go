package wal

import (
	"context"
	"crypto/rand"
	"os"
)

// randomSalt returns a random number for one life of a segment file.
func randomSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return le.Uint64(b[:])
}

// takeFile returns a segment file of the given size without records: a spare one
// if it can, or else a new one, which it first has to write ahead.
func (l *Log) takeFile(size int64) (name string, err error) {
	if size == l.opts.SegmentSize {
		if name, ok := l.takeSpare(); ok {
			return name, nil
		}
	}
	l.mu.Lock()
	l.number++
	name = segmentName(l.dir, l.number)
	l.mu.Unlock()
	return name, writeAhead(name, size, func() error { return nil })
}

// takeSpare takes a spare file, and waits for one that is being written.
func (l *Log) takeSpare() (name string, ok bool) {
	l.mu.Lock()
	if made := l.made; made != nil && len(l.spares) == 0 {
		l.mu.Unlock()
		<-made
		l.mu.Lock()
	}
	defer l.mu.Unlock()
	n := len(l.spares)
	if n == 0 {
		return "", false
	}
	name, l.spares = l.spares[n-1], l.spares[:n-1]
	return name, true
}

// giveBack keeps a file that holds nothing for later, or removes it.
func (l *Log) giveBack(name string, size int64) {
	l.mu.Lock()
	keep := size == l.opts.SegmentSize && len(l.spares) < l.opts.Spare
	if keep {
		l.spares = append(l.spares, name)
	}
	l.mu.Unlock()
	if !keep {
		_ = os.Remove(name) // a file that stays is found at the next opening
	}
}

// makeSpare writes a segment ahead in the background if there is none left.
// l.writer is held, except while opening.
func (l *Log) makeSpare() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made != nil || l.closed || len(l.spares) >= l.opts.Spare {
		return
	}
	made := make(chan struct{})
	l.made = made
	l.number++
	name := segmentName(l.dir, l.number)
	l.background.Go(func() { // ends when the file is written, or the log is closed
		err := writeAhead(name, l.opts.SegmentSize, func() error { return context.Cause(l.ctx) })
		if err == nil { // else roll makes one, and reports the error
			l.giveBack(name, l.opts.SegmentSize)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.made = nil
		close(made)
	})
}

// recycle keeps the files of segments that are no part of the log any more for
// later, once their readers have released their records. l.writer is held.
func (l *Log) recycle(dead []*segment) {
	for _, s := range dead {
		l.mu.Lock()
		s.unmap()
		s.marks, s.dead = nil, true
		closing := s.closing
		l.mu.Unlock()
		if len(closing) == 0 {
			l.giveBack(s.name, s.size)
			continue
		}
		l.background.Go(func() { // ends with the last reader's Release
			for _, f := range closing {
				_ = f.Wait() // the file is closed in any case
			}
			l.giveBack(s.name, s.size)
		})
	}
}
