// Package cli holds what the example programs have in common: signals, flags,
// usage and exit codes.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// A UsageError is the error of a command line that the program does not
// understand.
type UsageError struct {
	Err   error
	Usage string // the program's usage and its flags
}

func (e *UsageError) Error() string { return e.Err.Error() }

func (e *UsageError) Unwrap() error { return e.Err }

// Main runs a program and exits: with status 0 after success or a request for
// help, 2 after a [UsageError], whose usage it prints, and 1 after any other
// error. The context of run ends with SIGINT or SIGTERM.
func Main(name string, run func(ctx context.Context, args []string, out, errs io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status(name, err, os.Stderr))
}

// status prints err and returns the exit status that belongs to it.
func status(name string, err error, errs io.Writer) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(errs, "%s: %v\n", name, err)
	if usage, ok := errors.AsType[*UsageError](err); ok {
		fmt.Fprint(errs, usage.Usage)
		return 2
	}
	return 1
}

// Parse parses args into the flags and then calls check, which reports what
// else is wrong with them. synopsis is the first line of the usage. After -h
// the usage goes to out and the error is [flag.ErrHelp]; any other error is a
// [*UsageError].
func Parse(flags *flag.FlagSet, synopsis string, args []string, out io.Writer, check func() error) error {
	flags.Init(flags.Name(), flag.ContinueOnError)
	flags.SetOutput(io.Discard) // Main prints the error
	err := flags.Parse(args)
	if err == nil {
		err = check()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage(flags, synopsis))
		return err
	default:
		return &UsageError{err, usage(flags, synopsis)}
	}
}

func usage(flags *flag.FlagSet, synopsis string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "usage: %s\n", synopsis)
	flags.SetOutput(&text)
	flags.PrintDefaults()
	return text.String()
}
