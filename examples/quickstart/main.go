// Command quickstart shows in a few seconds what the library is for.
//
//	go run ./examples/quickstart [FILE]
//
// It maps FILE, or its own source when none is named, and counts its words in
// place. Then it builds a durable log in a temporary directory: 64 goroutines
// append records and await their flushes, first with one msync per record,
// then through group commit, while readers hold pins on the growing log. At
// the end it opens the log again and checks every record.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
)

func main() {
	cli.Main("quickstart", func(ctx context.Context, args []string, out, _ io.Writer) error {
		return run(ctx, args, out, time.Second)
	})
}

// run appends for the given time in each of the two ways.
//
// A write to standard output may end the process, when the reader of a pipe
// has gone. So every temporary directory is removed before the next line is
// printed.
func run(ctx context.Context, args []string, out io.Writer, each time.Duration) error {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	err := cli.Parse(flags, "quickstart [FILE]", args, out, func() error {
		if flags.NArg() > 1 {
			return fmt.Errorf("one file, not %d", flags.NArg())
		}
		return nil
	})
	if err != nil {
		return err
	}
	name, words, err := words(flags.Arg(0))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "mapped %s: %d bytes, %d lines, %d words, counted in place\n", name, words.bytes, words.lines, words.words)

	fmt.Fprintf(out, "%d goroutines append records of %d bytes to a log, each awaiting its own flush:\n", appenders, recordSize)
	alone, _, err := build(ctx, true, each)
	if err != nil {
		return err
	}
	alone.print(out, "an msync each")
	grouped, checked, err := build(ctx, false, each)
	if err != nil {
		return err
	}
	grouped.print(out, "group commit")
	fmt.Fprintf(out, "  %.1f times as many durable records per second\n", grouped.rate()/alone.rate())
	fmt.Fprintf(out, "closed and opened again: all %d records are there\n", checked)
	return nil
}

// words counts the words of the file, or of this program's source if name is
// empty, and returns the name without its directory.
func words(name string) (base string, c counted, err error) {
	if name != "" {
		c, err = count(name)
		return filepath.Base(name), c, err
	}
	err = inTemp(func(dir string) (err error) {
		name = filepath.Join(dir, "main.go")
		if err = os.WriteFile(name, source, 0o600); err == nil {
			c, err = count(name)
		}
		return err
	})
	return filepath.Base(name), c, err
}

// build appends to a log, opens it again and returns how many of its records
// were checked.
func build(ctx context.Context, alone bool, each time.Duration) (o outcome, checked int, err error) {
	err = inTemp(func(dir string) (err error) {
		records := filepath.Join(dir, "records")
		if o, err = appendFor(ctx, records, alone, each); err == nil {
			checked, err = verify(ctx, records)
		}
		return err
	})
	return o, checked, err
}

// inTemp calls fn with a temporary directory and removes it afterwards.
func inTemp(fn func(dir string) error) error {
	dir, err := os.MkdirTemp("", "fmmap-quickstart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return fn(dir)
}
