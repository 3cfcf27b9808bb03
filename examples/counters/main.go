// Command counters keeps named counters in a mapped file: increments cost an atomic add, survive the process at once,
// and a power cut at most an interval later.
//
//	go run ./examples/counters -file hits.map add NAME [N]     add N, 1 if not given, and wait until it is durable
//	go run ./examples/counters -file hits.map get [NAME]       one counter, or all of them
//	go run ./examples/counters -file hits.map load N           add 1 to ten counters N times from many goroutines
//
// The file is a table of 4,096 counters with names of up to 56 bytes; add and load make it when absent. One process at a time
// has it. Nothing is ever removed from it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "counters:", err)
		stop()
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: counters -file FILE add NAME [N] | get [NAME] | load N")

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("counters", flag.ContinueOnError)
	file := flags.String("file", "", "the table of counters; add and load make it when absent")
	interval := flags.Duration("interval", 100*time.Millisecond, "how long an increment may wait for the disk")
	flags.SetOutput(io.Discard) // an error is told once, by who called
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		fmt.Fprintln(out, errUsage)
		flags.PrintDefaults()
		return err
	case err != nil:
		return err
	}
	do, err := command(flags.Args())
	if err != nil {
		return err
	}
	if *file == "" || *interval <= 0 {
		return fmt.Errorf("-file and a positive -interval are needed; %w", errUsage)
	}
	s, err := Open(ctx, *file, flags.Arg(0) != "get", *interval)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	return do(ctx, s, out)
}

// command checks the arguments before the file is touched.
func command(args []string) (func(context.Context, *Store, io.Writer) error, error) {
	if len(args) == 0 {
		return nil, errUsage
	}
	n := uint64(1)
	number := func(at int) (err error) {
		if len(args) > at {
			if n, err = strconv.ParseUint(args[at], 10, 63); err != nil {
				return fmt.Errorf("%q is not a number from 0 to %d", args[at], int64(math.MaxInt64))
			}
		}
		return nil
	}
	switch op := args[0]; {
	case op == "add" && (len(args) == 2 || len(args) == 3):
		if err := number(2); err != nil {
			return nil, err
		}
		return func(ctx context.Context, s *Store, out io.Writer) error { return add(ctx, s, out, args[1], n) }, nil
	case op == "get" && len(args) <= 2:
		return func(_ context.Context, s *Store, out io.Writer) error { return get(s, out, args[1:]) }, nil
	case op == "load" && len(args) == 2:
		if err := number(1); err != nil {
			return nil, err
		}
		return func(ctx context.Context, s *Store, out io.Writer) error { return load(ctx, s, out, n) }, nil
	}
	return nil, errUsage
}

func add(ctx context.Context, s *Store, out io.Writer, name string, n uint64) error {
	c, err := s.Counter(name)
	if err != nil {
		return err
	}
	c.Add(n)
	if err := s.Barrier(ctx); err != nil { // now it survives a power cut
		return err
	}
	fmt.Fprintln(out, c.Value())
	return nil
}

func get(s *Store, out io.Writer, names []string) error {
	found := false
	s.All(func(name string, v uint64) {
		switch {
		case len(names) == 0:
			fmt.Fprintf(out, "%s\t%d\n", name, v)
		case name == names[0]:
			fmt.Fprintln(out, v)
			found = true
		}
	})
	if len(names) > 0 && !found {
		return fmt.Errorf("no counter %q", names[0])
	}
	return nil
}

// load shows what an increment costs while the background flushes.
func load(ctx context.Context, s *Store, out io.Writer, n uint64) error {
	const counters = 10
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range counters {
		c, err := s.Counter(fmt.Sprintf("load/%d", i))
		if err != nil {
			return err
		}
		wg.Go(func() {
			for k := range n {
				if k%1024 == 0 && ctx.Err() != nil {
					return
				}
				c.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	if err := s.Barrier(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d increments, %.0f ns each, durable\n", counters*n, float64(took.Nanoseconds())/float64(max(counters*n, 1)))
	return context.Cause(ctx)
}
