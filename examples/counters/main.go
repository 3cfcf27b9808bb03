// Command counters keeps named counters in a mapped file. An increment costs
// one compare-and-swap. It survives the process at once, and a power cut after
// an interval at most.
//
//	go run ./examples/counters -file hits.map COMMAND
//
//	add NAME [N]  add N, or 1, and wait until it is durable
//	get [NAME]    print one counter, or all of them
//	load N        add 1 to ten counters N times, each from a goroutine
//
// The file is a table of 4,095 counters with names of up to 56 bytes; add and
// load create it when absent. Of processes that write it each waits for the one
// before; while none does, any number may get. No counter is ever removed, and
// none wraps: an add that would exceed 2^64-1 is an error and changes nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
)

func main() {
	cli.Main("counters", func(ctx context.Context, args []string, out, _ io.Writer) error {
		return run(ctx, args, out)
	})
}

const synopsis = "counters -file FILE [flags] add NAME [N] | get [NAME] | load N"

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("counters", flag.ContinueOnError)
	file := flags.String("file", "", "the table of counters; add and load create it when absent")
	interval := flags.Duration("interval", 100*time.Millisecond, "how long an increment may wait for the disk")
	var do func(context.Context, *Store, io.Writer) error
	err = cli.Parse(flags, synopsis, args, out, func() (err error) {
		switch do, err = command(flags.Args()); {
		case err != nil:
			return err
		case *file == "":
			return errors.New("-file is missing")
		case *interval <= 0:
			return errors.New("-interval must be positive")
		}
		return nil
	})
	if err != nil {
		return err
	}
	open := func() (*Store, error) { return Open(ctx, *file, *interval) }
	if flags.Arg(0) == "get" {
		open = func() (*Store, error) { return OpenReadOnly(ctx, *file) }
	}
	s, err := open()
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

var errCommand = errors.New("the command is add NAME [N], get [NAME] or load N")

// command checks the arguments and returns what they ask for.
func command(args []string) (func(context.Context, *Store, io.Writer) error, error) {
	if len(args) == 0 {
		return nil, errCommand
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
	return nil, errCommand
}

func add(ctx context.Context, s *Store, out io.Writer, name string, n uint64) error {
	c, err := s.Counter(name)
	if err != nil {
		return err
	}
	if err := c.Add(n); err != nil {
		return err
	}
	if err := s.Barrier(ctx); err != nil {
		return err
	}
	// Now the sum survives a power cut.
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

// load measures what an increment costs while the background flushes.
func load(ctx context.Context, s *Store, out io.Writer, n uint64) error {
	const counters = 10
	begin := time.Now()
	var wg sync.WaitGroup
	failed := make([]error, counters)
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
				if failed[i] = c.Add(1); failed[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	elapsed := time.Since(begin)
	if err := s.Barrier(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d increments, %.0f ns each, durable\n", counters*n, float64(elapsed.Nanoseconds())/float64(max(counters*n, 1)))
	return context.Cause(ctx)
}
