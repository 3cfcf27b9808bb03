package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fmmap-go/fmmap/core"
)

// Verify reads every durable record and checks it against its checksum. The
// first damage that it finds is returned, as a [*CorruptError]. The log may be
// used meanwhile; segments that are truncated away are left out.
func (l *Log) Verify(ctx context.Context) error {
	for index := l.First(); index <= l.Last(); {
		c, err := l.chunk(ctx, index, l.Last())
		if errors.Is(err, ErrNotFound) { // truncated away
			index = max(index, l.First())
			continue
		}
		if err != nil {
			return err
		}
		pin, err := c.load.Await(ctx)
		if err != nil {
			if l.remapped(c.place) && ctx.Err() == nil {
				continue
			}
			return err
		}
		bad := error(nil)
		c.yield(pin, c.from, true, func(_ Record, err error) bool {
			bad = err
			return err == nil
		})
		if bad != nil && index >= l.First() {
			return bad
		}
		index = c.last + 1
	}
	return nil
}

// A Repaired is the outcome of [Repair].
type Repaired struct {
	Problem error    // the first damage found; nil if there was none, and nothing was changed
	Last    uint64   // index of the last record that is left
	Aside   []string // copies of the files that were cut or are not part of the log any more, unused ones too
}

// Repair makes a log usable again that [Open] or [Log.Verify] reports to be
// corrupt: it keeps the records before the damage and drops all that come
// after. The files with dropped records are copied to a directory "damaged-..."
// in dir first. The log's map stays. The log must not be open: lock.ErrLocked.
//
// A log whose meta file is beyond reading cannot be repaired: [ErrCorrupt].
func Repair(ctx context.Context, dir string, o Options) (Repaired, error) {
	var r Repaired
	for {
		last, problem, err := repairOnce(ctx, dir, o, &r)
		if err != nil {
			return r, err
		}
		if problem == nil {
			r.Last = last
			return r, nil
		}
		if r.Problem == nil {
			r.Problem = problem
		}
	}
}

// repairOnce opens and verifies the log. It returns the damage that it has cut
// off, nil when there is none.
func repairOnce(ctx context.Context, dir string, o Options, r *Repaired) (last uint64, problem error, err error) {
	l, err := Open(ctx, dir, o)
	if err == nil {
		problem = l.Verify(ctx)
		last = l.Last()
		err = l.Close()
	} else {
		problem, err = err, nil
	}
	var damage *CorruptError
	switch {
	case err != nil:
		return 0, nil, err
	case problem == nil:
		return last, nil, nil
	case !errors.As(problem, &damage):
		return 0, nil, problem
	}
	return 0, problem, cutDamage(ctx, dir, o, damage, r)
}

// cutDamage ends the log before the damage, with the damaged files kept aside.
func cutDamage(ctx context.Context, dir string, o Options, damage *CorruptError, r *Repaired) error {
	o, err := o.check()
	if err != nil {
		return err
	}
	file, err := core.OpenFile(filepath.Join(dir, metaName), core.Options{Access: core.ReadWrite, Reserve: 1})
	if err != nil {
		return lockRefused(err)
	}
	l := &Log{dir: dir, opts: o, meta: meta{file: file}}
	l.ctx, l.cancel = context.WithCancel(ctx)
	defer l.abandon()
	if _, err := l.meta.read(); err != nil && !errors.Is(err, ErrCorrupt) || l.meta.counter == 0 {
		return fmt.Errorf("cannot be repaired: %w", errors.Join(err, damage))
	}
	found, names, err := l.scanDir(false)
	if err != nil {
		return err
	}
	_ = l.link(found) // as far as the chain goes
	next := l.meta.state
	next.clean = clean{}
	keep := len(l.segments)
	for i, s := range l.segments {
		if s.name == damage.File {
			keep = i + 1
		}
	}
	drop := map[string]bool{}
	for _, name := range names {
		drop[name] = true
	}
	for i := range keep {
		delete(drop, l.segments[i].name)
	}
	if keep == 0 {
		next.firstSeq, next.tailSeq = 0, 0
	} else {
		s := l.segments[keep-1]
		next.tailSeq = s.seq
		if s.name == damage.File || !s.sealed {
			drop[s.name] = true
			end, err := s.wholeFrames(ctx, l.meta.cut)
			if err != nil {
				return err
			}
			// Nothing behind the end passes again, whatever its generation.
			next.cut = cut{next.cut.number + 1, s.seq, end, maxGeneration}
			next.gen = maxGeneration
		}
	}
	if err := keepAside(dir, drop, r); err != nil {
		return err
	}
	return l.meta.write(next)
}

// wholeFrames returns where the first frame of s begins that is damaged.
func (s *segment) wholeFrames(ctx context.Context, cut cut) (end int64, err error) {
	f, err := core.OpenFile(s.name, core.Options{NoLock: true})
	if err != nil {
		return 0, err
	}
	defer f.Close()
	limit := min(s.size, f.Len()) - trailerSize
	end = pageSize
	gen := uint16(0)
	err = f.View(func(b []byte) error {
		for index := s.first; end+frameHeader <= limit && ctx.Err() == nil; index++ {
			f, ok := valid(b[end:limit], s.sum)
			if !ok || !f.follows(index, gen) || cut.covers(s.seq, end, f.gen) {
				return nil
			}
			gen = f.gen
			end += frameSize(int64(f.length))
		}
		return context.Cause(ctx)
	})
	return end, err
}

// keepAside copies files into a new directory in dir, durably.
func keepAside(dir string, names map[string]bool, r *Repaired) error {
	to := filepath.Join(dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000000000"))
	if err := os.Mkdir(to, 0o777); err != nil {
		return err
	}
	for name := range names {
		copied := filepath.Join(to, filepath.Base(name))
		if err := copyFile(copied, name); err != nil {
			return err
		}
		r.Aside = append(r.Aside, copied)
	}
	if err := core.SyncDir(to); err != nil {
		return err
	}
	return core.SyncDir(dir)
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}
