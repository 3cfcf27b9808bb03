package torture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// tracedEnv is the directory of a process whose system calls fail.
const tracedEnv = "TORTURE_TRACED"

// traced is the role of a process of which every other msync fails, counted by
// threads: so it has one. Each file has the failure of its first flush, and the
// next call is that of the file opened again.
func traced() error {
	runtime.LockOSThread()
	dir := os.Getenv(tracedEnv)
	p, err := async.NewPool(async.PoolOptions{Executor: async.Inline()})
	if err != nil {
		return err
	}
	for i, w := range ways {
		if w.timer {
			continue
		}
		if err := tracedFile(p, filepath.Join(dir, fmt.Sprint("file-", i)), w); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		testutil.Say("%s", w.name)
	}
	return p.Close()
}

// tracedFile has a way of flushing fail.
func tracedFile(p *async.Pool, name string, w way) error {
	salts := make([]byte, pages)
	if err := os.WriteFile(name, saltedPages(salts), 0o600); err != nil {
		return err
	}
	s, err := newSubject(p, name, true)
	if err != nil {
		return err
	}
	salts[2] = 2
	if err := s.store(2, salts[2]); err != nil {
		return err
	}
	if err := isFailed(w.flush(s, 2)); err != nil {
		return err
	}
	if err := errors.Join(s.allFail(), s.reads(salts), s.end()); err != nil {
		return err
	}
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
	if err != nil {
		return err
	}
	return errors.Join(f.Flush(), f.Close())
}

// The msync of a process that knows nothing of it fails.
func TestMsyncFailsUnderStrace(t *testing.T) {
	testutil.NoLeaks(t)
	dir := t.TempDir()
	p := testutil.Strace(t, "msync:error=EIO:when=1+2", "traced", tracedEnv+"="+dir)
	rounds := 0
	for _, w := range ways {
		if w.timer {
			continue
		}
		if got := p.Hear(); got != w.name {
			t.Errorf("the process has done %q, want %q", got, w.name)
		}
		rounds++
	}
	check(t, second(p.Wait()))
	counted(t, "%d files, each flushed another way first", rounds)
}

// The k-th call of the system fails, for each k, while eight goroutines flush a
// file in all ways. From the moment on at which it does, no flush that begins
// succeeds: not that of another range, nor of those that the kernel would have
// let succeed.
func TestTheKthCallFails(t *testing.T) {
	for _, tt := range []struct {
		op sys.Op
		n  int // calls to fail, one after the other
	}{{sys.OpMsync, 60}, {sys.OpFsync, 20}, {sys.OpFsyncDir, 1}} {
		t.Run(string(tt.op), func(t *testing.T) {
			testutil.NoLeaks(t)
			rnd := testutil.Rand(t)
			p := must[*async.Pool](t)(async.NewPool(async.PoolOptions{}))
			b := newBudget(tt.n)
			var well, badly atomic.Int64
			for b.next() {
				k := (b.rounds.Load()-1)%int64(tt.n) + 1
				s := &failingFile{op: tt.op, at: k, name: filepath.Join(t.TempDir(), "file"), well: &well, badly: &badly}
				if err := s.run(p, rnd); err != nil {
					t.Fatalf("call %d: %v", k, err)
				}
			}
			check(t, p.Close())
			counted(t, "%d rounds, %d flushes went well and %d failed", b.rounds.Load(), well.Load(), badly.Load())
		})
	}
}

// A failingFile is a file of which one system call fails.
type failingFile struct {
	*subject
	op    sys.Op
	at    int64 // the call that does
	name  string
	calls atomic.Int64
	fails atomic.Bool // it has begun to

	well, badly *atomic.Int64
}

// call is asked for every system call of the process.
func (s *failingFile) call(op sys.Op) error {
	if op != s.op {
		return nil
	}
	if s.calls.Add(1) != s.at {
		return nil
	}
	s.fails.Store(true)
	// Flushes beside this one should get their results from the kernel first,
	// if there are any.
	for i := 0; i < 1000 && s.calls.Load() < s.at+2; i++ {
		runtime.Gosched()
	}
	return syscall.EIO
}

func (s *failingFile) run(p *async.Pool, rnd *rand.Rand) error {
	f, err := core.Create(s.name, pages*pageSize) // so that the first flush syncs the directory
	if err != nil {
		return err
	}
	if s.subject, err = wrapSubject(p, f, false); err != nil {
		return err
	}
	restore := sys.Inject(s.call)
	outcomes := make(chan error)
	const goroutines = 8
	for i := range goroutines {
		own := rand.New(rand.NewPCG(rnd.Uint64(), 0))
		go func() { outcomes <- s.flushes(own, i) }()
	}
	for range goroutines {
		err = errors.Join(err, <-outcomes)
	}
	restore()
	if err := errors.Join(err, s.allFail(), s.end()); err != nil {
		return err
	}
	if s.subject, err = newSubject(p, s.name, false); err != nil {
		return err
	}
	for _, w := range ways {
		err = errors.Join(err, w.flush(s.subject, 2))
	}
	return errors.Join(err, s.close())
}

// flushes flushes until it fails. Two goroutines use the file directly, so that
// calls of theirs are made beside others.
func (s *failingFile) flushes(rnd *rand.Rand, i int) error {
	const often = 2_000
	for range often {
		w := ways[rnd.IntN(len(ways))]
		if i < 2 || s.op == sys.OpFsync {
			w = ways[1]
		}
		page := rnd.Int64N(pages - 1)
		if err := s.store(page, byte(2*page)); err != nil {
			return err
		}
		late := s.fails.Load()
		var err error
		if s.op == sys.OpFsync {
			err = s.file.Core().FlushRange(page*pageSize, 0) // the length alone
		} else {
			err = w.flush(s.subject, page)
		}
		switch {
		case err != nil:
			s.badly.Add(1)
			return isFailed(err)
		case late:
			return fmt.Errorf("%s went well after a failure", w.name)
		}
		s.well.Add(1)
	}
	return fmt.Errorf("%d flushes, and call %d of %s has not failed", often, s.at, s.op)
}
