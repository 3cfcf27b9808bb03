package torture

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
)

// A subject is a file that is about to fail, and everything by which it can be
// flushed.
type subject struct {
	file      *async.File
	committer *flush.Committer  // of its own, beside the one in file
	steady    *flush.Background // of that committer
	back      *async.Background
	told      chan error // what steady was told
}

// pageSize is what subjects count in: a page holds the letters of one salt.
const pageSize = 4 * kib

// newSubject opens a file. With inline, everything but what a timer does
// happens in the goroutine of the caller.
func newSubject(p *async.Pool, name string, inline bool) (*subject, error) {
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
	if err != nil {
		return nil, err
	}
	return wrapSubject(p, f, inline)
}

// wrapSubject is newSubject of a file that is open.
func wrapSubject(p *async.Pool, f *core.File, inline bool) (s *subject, err error) {
	s = &subject{file: async.Wrap(p, f), told: make(chan error, 1)}
	var o flush.Options
	if inline {
		o.Execute = func(task func(error)) error { task(nil); return nil }
	}
	s.committer = flush.NewCommitter(f, o)
	s.steady = flush.NewBackground(s.committer, flush.Policy{DirtyBytes: 1, OnError: func(err error) { s.told <- err }})
	s.back, err = s.file.StartBackground(flush.Policy{})
	return s, err
}

// store makes a page dirty.
func (s *subject) store(page int64, salt byte) error {
	return s.file.Core().Update(func(b []byte) error {
		copy(b[page*pageSize:], pattern(page*pageSize, pageSize, salt))
		return nil
	})
}

// A way makes a page durable.
type way struct {
	name  string
	timer bool // in a goroutine that the test cannot choose
	flush func(s *subject, page int64) error
}

// ways are all the ways to make bytes durable.
var ways = []way{
	{"Flush", false, func(s *subject, _ int64) error { return s.file.Core().Flush() }},
	{"FlushRange", false, func(s *subject, page int64) error { return s.file.Core().FlushRange(page*pageSize, pageSize) }},
	{"FlushRange of another page", false, func(s *subject, page int64) error {
		return either(s.file.Core().FlushRange(page*pageSize, 1), s.file.Core().FlushRange((page+1)*pageSize, 1))
	}},
	{"async Flush", false, func(s *subject, _ int64) error { return s.file.Flush().Wait() }},
	{"async FlushRange", false, func(s *subject, page int64) error { return s.file.FlushRange(page*pageSize, pageSize).Wait() }},
	{"async Background.Barrier", false, func(s *subject, _ int64) error { return s.back.Barrier().Wait() }},
	{"Committer.Flush", false, func(s *subject, page int64) error { return s.committer.Flush(bg, page*pageSize, pageSize) }},
	{"Committer.Commit", false, func(s *subject, page int64) error { return s.committer.Commit(page*pageSize, pageSize).Wait(bg) }},
	{"Committer.CommitAll", false, func(s *subject, _ int64) error { return s.committer.CommitAll().Wait(bg) }},
	{"Background.Barrier", false, func(s *subject, _ int64) error { return s.steady.Barrier().Wait(bg) }},
	{"Background.MarkDirty", true, func(s *subject, _ int64) error {
		s.steady.MarkDirty(1) // ignored once an error has ended it: then that was told, and Barrier says it
		return s.steady.Barrier().Wait(bg)
	}},
}

// isFailed checks that an error is that of a flush that failed.
func isFailed(err error) error {
	var e *core.FlushError
	if errors.Is(err, core.ErrFlushFailed) && errors.Is(err, syscall.EIO) && errors.As(err, &e) && e.Final() {
		return nil
	}
	return fmt.Errorf("%v, want %v: %w", err, core.ErrFlushFailed, syscall.EIO)
}

// allFail checks that nothing is said to be durable any more.
func (s *subject) allFail() error {
	for _, w := range ways {
		if err := isFailed(w.flush(s, 2)); err != nil {
			return fmt.Errorf("after the failure, %s: %w", w.name, err)
		}
	}
	return nil
}

// reads checks that all pages can be read, and which salts they have.
func (s *subject) reads(salts []byte) error {
	want := saltedPages(salts)
	got := make([]byte, len(want))
	_, err := s.file.Core().ReadAt(got, 0)
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("the bytes in memory are others than were stored")
	}
	return errors.Join(err, second(s.file.ReadAt(bg, got, 0).Await(bg)), second(s.file.Core().Clone()))
}

// close closes a file that has not failed.
func (s *subject) close() error {
	return errors.Join(s.steady.Close(), s.committer.Close(), s.file.Close())
}

// end closes a file that has failed. The failure has ended the backgrounds, and
// closing them returns it.
func (s *subject) end() error {
	if err := isFailed(s.file.Close()); err != nil {
		return fmt.Errorf("closing a file whose background has failed: %w", err)
	}
	if err := isFailed(s.steady.Close()); err != nil {
		return fmt.Errorf("stopping a background that has failed: %w", err)
	}
	if err := isFailed(<-s.told); err != nil {
		return fmt.Errorf("OnError: %w", err)
	}
	return isFailed(s.committer.Close())
}

// saltedPages are pages of letters.
func saltedPages(salts []byte) []byte {
	var b []byte
	for i, salt := range salts {
		b = append(b, pattern(int64(i)*pageSize, pageSize, salt)...)
	}
	return b
}
