// Command eventlog is an HTTP server over a durable log in mapped files.
//
//	cd examples/eventlog && go run . -addr 127.0.0.1:0 -file events.log
//
//	POST /events         appends the body as a record; 201 with {"seq":…} once it
//	                     is durable
//	GET  /events/{seq}   returns the bytes of a record, from the map
//	GET  /events?from=N  returns the records from N on, each as a line with its
//	                     length followed by its bytes and a newline; with
//	                     &limit=M at most M of them
//	GET  /stats          returns the statistics of the log and the pool, as JSON
//	GET  /metrics        the same and those of the Go runtime, for Prometheus
//
// A record is acknowledged only when an msync that began after it was stored
// has returned; all requests that wait share one. On a full disk POST returns
// 507 until there is room again. SIGTERM and SIGINT let the requests under way
// finish, flush the log and close it. After a crash the next start leaves out a
// torn record at the end and serves everything that was acknowledged. What it has
// to report are records of log/slog. README.md has the way to a dashboard.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/async/antspool"
	"github.com/fmmap-go/fmmap/examples/internal/cli"
	"github.com/fmmap-go/fmmap/lock"
	"github.com/fmmap-go/fmmap/wal"
)

func main() { cli.Main("eventlog", run) }

// settings are the flags.
type settings struct {
	addr, file string
	maxRecord  int64
	grow       int64
	executor   string
	drain      time.Duration
}

func parse(args []string, out io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("eventlog", flag.ContinueOnError)
	flags.StringVar(&s.addr, "addr", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	flags.StringVar(&s.file, "file", "", "the `directory` of the log; created when absent")
	flags.Int64Var(&s.maxRecord, "max", 1<<20, "longest record in `bytes`")
	flags.Int64Var(&s.grow, "grow", 16<<20, "how many `bytes` the log grows at a time, in whole pages: the\n"+
		"length of its segments, at least 64 KiB")
	flags.StringVar(&s.executor, "executor", "goroutines", "what runs the pool: goroutines, antspool (workers of ants) or\n"+
		"inline (the goroutine of the request, which then waits for the disk itself)")
	flags.DurationVar(&s.drain, "drain", 10*time.Second, "how long requests may take to finish after a signal")
	err = cli.Parse(flags, "eventlog -file DIR [flags]", args, out, func() error {
		switch {
		case flags.NArg() > 0:
			return fmt.Errorf("unexpected argument %q", flags.Arg(0))
		case s.file == "":
			return errors.New("-file is missing")
		case s.maxRecord < 1 || s.maxRecord > 1<<30:
			return fmt.Errorf("-max %d: from 1 to %d", s.maxRecord, 1<<30)
		case s.grow < 1 || s.grow > 1<<34:
			return fmt.Errorf("-grow %d: from 1 to %d", s.grow, int64(1)<<34)
		case !slices.Contains([]string{"goroutines", "antspool", "inline"}, s.executor):
			return fmt.Errorf("-executor %s: goroutines, antspool or inline", s.executor)
		case s.drain < 0:
			return errors.New("-drain is negative")
		}
		return nil
	})
	return s, err
}

// segmentSize returns the length of the log's segments.
func (s settings) segmentSize() int64 {
	const page = 4096
	return max((s.grow+page-1)/page*page, 64<<10)
}

// newExecutor returns the executor with the given name and a function that
// closes it once the pool is closed.
func newExecutor(name string) (e async.Executor, release func()) {
	switch name {
	case "antspool":
		e := antspool.New(antspool.Options{})
		return e, func() { _ = e.Close() }
	case "inline":
		return async.Inline(), func() {}
	default:
		return async.Goroutines(), func() {}
	}
}

// run serves until ctx is done. It logs to errs, first of all where it listens.
func run(ctx context.Context, args []string, out, errs io.Writer) (err error) {
	s, err := parse(args, out)
	if err != nil {
		return err
	}
	// Listen before the log is created: an address that is not available leaves
	// no file behind. A client that connects before the log is open waits in
	// the listener's queue.
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	executor, release := newExecutor(s.executor)
	defer release()
	logger := slog.New(slog.NewTextHandler(errs, nil))
	pool, err := async.NewPool(async.PoolOptions{Executor: executor, Hooks: async.Hooks{
		OnPanic: func(l async.Lane, op string, err *async.PanicError) {
			logger.Error("panic", "lane", l, "op", op, "err", err, "stack", string(err.Stack))
		},
	}})
	if err != nil {
		return err
	}
	defer pool.Close() // before release
	l, err := wal.Open(ctx, s.file, wal.Options{SegmentSize: s.segmentSize(), Pool: pool})
	if errors.Is(err, lock.ErrLocked) {
		return fmt.Errorf("%s is in use by another process", s.file)
	}
	if err != nil {
		return err
	}
	defer func() {
		if cerr := l.Close(); err == nil {
			err = cerr
		}
	}()
	handler, err := newHandler(l, pool, s.maxRecord, logger)
	if err != nil {
		return err
	}
	logger.Info("listening", "addr", listener.Addr(), "events", l.Last())

	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }() // ends with Shutdown or Close
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	logger.Info("draining")
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close() // cuts off the other requests, none of which was acknowledged
	}
	logger.Info("closing", "events", l.Last())
	return nil
}
