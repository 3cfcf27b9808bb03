// Command pipeline hashes a large file in chunks and counts its bytes, as a pipeline of stages that an errgroup
// holds together.
//
//	go run ./examples/pipeline [-chunk BYTES] [-ahead N] [-workers N] [-out FILE] [FILE]
//
// Without FILE it makes one of 256 MiB (-size) in the temporary directory and removes it afterwards. The first stage
// loads chunks ahead of the work, so that no worker waits for the disk on a page fault; the second hashes and counts on several
// goroutines; each stores its result into a mapped table, which is flushed at the end. Interrupting it ends it cleanly
// and leaves no half of a table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, terminal(os.Stderr))
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "pipeline:", err)
		stop()
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	chunk, size int64
	ahead       int
	workers     int
	out, name   string
}

func parse(args []string, out io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("pipeline", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is told once, by who called
	flags.Int64Var(&s.chunk, "chunk", 1<<20, "`bytes` in a chunk")
	flags.Int64Var(&s.size, "size", 256<<20, "`bytes` of the file that is made when none is named")
	flags.IntVar(&s.ahead, "ahead", 8, "chunks that are loading ahead of the work")
	flags.IntVar(&s.workers, "workers", runtime.GOMAXPROCS(0), "goroutines that hash")
	flags.StringVar(&s.out, "out", "", "the table of results; a temporary one when empty")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(out)
		fmt.Fprintln(out, "usage: pipeline [flags] [FILE]")
		flags.PrintDefaults()
		return s, err
	case err != nil:
		return s, err
	}
	s.name = flags.Arg(0)
	switch {
	case flags.NArg() > 1:
		return s, fmt.Errorf("one file, not %d", flags.NArg())
	case s.chunk < 1, s.size < 1, s.ahead < 0, s.workers < 1:
		return s, errors.New("-chunk, -size and -workers must be positive, -ahead not negative")
	}
	return s, nil
}

// run does it all. Progress goes to progress, if that is not nil.
func run(ctx context.Context, args []string, out io.Writer, progress io.Writer) error {
	s, err := parse(args, out)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fmmap-pipeline-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if s.name == "" {
		s.name = filepath.Join(dir, "generated")
		if err := generate(ctx, s.name, s.size); err != nil {
			return err
		}
	}
	if s.out == "" {
		s.out = filepath.Join(dir, "results")
	}
	sum, err := process(ctx, s, progress)
	if err != nil {
		return err
	}
	os.RemoveAll(dir) // before the last word: writing to a pipe that nobody reads may end the process
	fmt.Fprintf(out, "%s: %d bytes in %d chunks, %d lines, commonest byte %#02x, digest of digests %x\n",
		filepath.Base(s.name), sum.bytes, sum.chunks, sum.lines, sum.commonest, sum.digest[:8])
	return nil
}

// generate makes a file of text, the same every time.
func generate(ctx context.Context, name string, size int64) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	rng := rand.New(rand.NewPCG(1, 2))
	line := make([]byte, 1<<20)
	for i := range line {
		line[i] = "etaoin shrdlu\n"[rng.IntN(14)]
	}
	for done := int64(0); done < size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := f.Write(line[:min(int64(len(line)), size-done)])
		if err != nil {
			return err
		}
		done += int64(n)
	}
	return nil
}

// terminal is f, or nil when nobody looks at it.
func terminal(f *os.File) io.Writer {
	fi, err := f.Stat()
	if err != nil || fi.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return f
}
