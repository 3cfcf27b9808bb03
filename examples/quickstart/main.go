// Command quickstart shows in a few seconds what the library is for.
//
//	go run ./examples/quickstart [FILE]
//
// It maps FILE, or its own source when none is named, and counts its words in place. Then it builds a durable
// log in a temporary directory: 64 goroutines append records and await their flushes, first with an msync each,
// then through group commit, while readers hold pins on the growing file. At the end the log is opened again and every
// record checked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, time.Second); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		stop()
		os.Exit(1)
	}
}

// run appends for so long in each of the two ways.
func run(ctx context.Context, args []string, out io.Writer, each time.Duration) error {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is told once, by who called
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(out, "usage: quickstart [FILE]")
		return err
	case err != nil:
		return err
	}
	if flags.NArg() > 1 {
		return fmt.Errorf("one file, not %d", flags.NArg())
	}
	dir, err := os.MkdirTemp("", "fmmap-quickstart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	name := flags.Arg(0)
	if name == "" {
		name = filepath.Join(dir, "main.go")
		if err := os.WriteFile(name, source, 0o600); err != nil {
			return err
		}
	}
	words, err := count(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "mapped %s: %d bytes, %d lines, %d words, counted in place\n", filepath.Base(name), words.bytes, words.lines, words.words)

	fmt.Fprintf(out, "%d goroutines append records of %d bytes to a log, each awaiting its own flush:\n", appenders, recordSize)
	alone, err := appendFor(ctx, filepath.Join(dir, "alone.log"), true, each)
	if err != nil {
		return err
	}
	alone.print(out, "an msync each")
	grouped, err := appendFor(ctx, filepath.Join(dir, "grouped.log"), false, each)
	if err != nil {
		return err
	}
	grouped.print(out, "group commit")
	fmt.Fprintf(out, "  %.1f times as many durable records a second\n", grouped.rate()/alone.rate())
	checked, err := verify(ctx, filepath.Join(dir, "grouped.log"))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "closed and opened again: all %d records are there\n", checked)
	return nil
}
