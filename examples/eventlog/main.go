// Command eventlog is an HTTP server over a durable log in a mapped file.
//
//	cd examples/eventlog && go run . -addr 127.0.0.1:0 -file events.log
//
//	POST /events          the body is the record; 201 with {"seq":…,"offset":…} once it is durable
//	GET  /events/{seq}    the record's bytes, written to the client from the map
//	GET  /events?from=N   the records from N on, each as a line with its length followed by its bytes and a newline;
//	                      &limit=M for M of them at most
//	GET  /stats           what the flushes, the reads and the pool have done, as JSON
//
// A record is acknowledged only when an msync that began after it was stored has returned; all requests that
// wait share one. SIGTERM and SIGINT let the requests under way finish, flush and close. After a crash the next start
// cuts a torn record off the end and serves everything that was acknowledged.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/examples/reclog"
	"github.com/fmmap-go/fmmap/lock"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "eventlog:", err)
		stop()
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	addr, file string
	maxRecord  int64
	grow       int64
	drain      time.Duration
}

func parse(args []string, out io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("eventlog", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is told once, by who called
	flags.StringVar(&s.addr, "addr", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	flags.StringVar(&s.file, "file", "", "the log; made when absent")
	flags.Int64Var(&s.maxRecord, "max", 1<<20, "longest record in `bytes`")
	flags.Int64Var(&s.grow, "grow", 16<<20, "how many `bytes` the file grows at a time")
	flags.DurationVar(&s.drain, "drain", 10*time.Second, "how long requests may take to finish after a signal")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		fmt.Fprintln(out, "usage: eventlog -file FILE [flags]")
		flags.PrintDefaults()
		return s, err
	case err != nil:
		return s, err
	}
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case s.file == "":
		return s, errors.New("-file is missing")
	case s.maxRecord < 1 || s.maxRecord > 1<<30:
		return s, fmt.Errorf("-max %d: from 1 to %d", s.maxRecord, 1<<30)
	case s.grow < 1 || s.grow > 1<<40:
		return s, fmt.Errorf("-grow %d: from 1 to %d", s.grow, int64(1)<<40)
	case s.drain < 0:
		return s, errors.New("-drain is negative")
	}
	return s, nil
}

// run serves until ctx is done. It says on out where it listens.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	s, err := parse(args, out)
	if err != nil {
		return err
	}
	// First of all, so that an address that cannot be had leaves no file behind.
	// Who connects before the log is open waits in the listener's queue.
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		return err
	}
	defer pool.Close(context.Background())
	l, err := reclog.Open(ctx, s.file, reclog.Options{MaxRecord: s.maxRecord, Grow: s.grow, Pool: pool})
	if errors.Is(err, lock.ErrLocked) {
		return fmt.Errorf("%s is in use by another process", s.file)
	}
	if err != nil {
		return err
	}
	logger := log.New(out, "eventlog: ", 0)
	if n := l.Cut(); n > 0 {
		logger.Printf("cut a torn record of at least %d bytes off the end", n)
	}
	defer func() {
		if cerr := l.Close(context.Background()); err == nil {
			err = cerr
		}
	}()
	logger.Printf("listening on %s, %d events", listener.Addr(), l.Last())

	server := &http.Server{Handler: newHandler(l, pool, s.maxRecord), ErrorLog: logger, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }() // ends with Shutdown or Close
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	logger.Printf("draining")
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		server.Close() // the rest is cut off; nothing of theirs was acknowledged
	}
	logger.Printf("closing, %d events", l.Last())
	return nil
}
