// Command pipeline hashes a large file in chunks and counts its bytes, as a
// pipeline whose stages run in one errgroup.
//
//	go run ./examples/pipeline [-chunk BYTES] [-ahead N] [-workers N] [-out FILE] [FILE]
//
// Without FILE it makes one of 256 MiB (-size) in the temporary directory and
// removes it afterwards. The first stage loads chunks ahead of the work, so
// that no worker waits for the disk in a page fault; the second hashes and
// counts on several goroutines. Each stores its result into a mapped table,
// which is flushed at the end. When it is interrupted, it removes the
// unfinished table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
)

func main() {
	cli.Main("pipeline", func(ctx context.Context, args []string, out, errs io.Writer) error {
		if !terminal(errs) {
			errs = nil
		}
		return run(ctx, args, out, errs)
	})
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
	flags.Int64Var(&s.chunk, "chunk", 1<<20, "`bytes` per chunk")
	flags.Int64Var(&s.size, "size", 256<<20, "`bytes` of the file that is made when none is named")
	flags.IntVar(&s.ahead, "ahead", 8, "chunks that are loaded ahead of the work")
	flags.IntVar(&s.workers, "workers", runtime.GOMAXPROCS(0), "goroutines that hash")
	flags.StringVar(&s.out, "out", "", "the table of results; a temporary one when empty")
	err = cli.Parse(flags, "pipeline [flags] [FILE]", args, out, func() error {
		s.name = flags.Arg(0)
		switch {
		case flags.NArg() > 1:
			return fmt.Errorf("one file, not %d", flags.NArg())
		case s.chunk < 1, s.size < 1, s.ahead < 0, s.workers < 1:
			return errors.New("-chunk, -size and -workers must be positive, -ahead not negative")
		}
		return nil
	})
	return s, err
}

// run processes one file. It writes its progress to progress, unless that is
// nil.
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
	os.RemoveAll(dir) // before printing: a write to a pipe without a reader ends the process
	fmt.Fprintf(out, "%s: %d bytes in %d chunks, %d lines, commonest byte %#02x, digest of digests %x\n",
		filepath.Base(s.name), sum.bytes, sum.chunks, sum.lines, sum.commonest, sum.digest[:8])
	return nil
}

// generate creates a file of text, the same every time.
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

// terminal reports whether w is a terminal, or another character device.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}
