// Command queue keeps a durable queue of lines in a directory: what was put
// survives crashes and power cuts until it was taken.
//
//	go run ./examples/queue -dir jobs COMMAND
//
//	put [LINE...]  append the lines, or those of standard input, durably
//	take [N]       print the next N lines, or one, and remove them
//	follow         print lines as they come, and remove them, until interrupted
//	len            print how many lines are waiting
//
// One process at a time has the queue open. A line is removed after it has been
// printed, so a crash in between prints it again: at least once, in order.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
	"github.com/fmmap-go/fmmap/wal"
)

func main() {
	cli.Main("queue", func(ctx context.Context, args []string, out, _ io.Writer) error {
		return run(ctx, args, os.Stdin, out)
	})
}

const synopsis = "queue -dir DIR put [LINE...] | take [N] | follow | len"

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	flags := flag.NewFlagSet("queue", flag.ContinueOnError)
	dir := flags.String("dir", "", "the directory of the queue; created when absent")
	n := uint64(1)
	err = cli.Parse(flags, synopsis, args, out, func() (err error) {
		if *dir == "" {
			return errors.New("-dir is missing")
		}
		switch rest := flags.Args(); {
		case len(rest) > 0 && rest[0] == "put", len(rest) == 1 && (rest[0] == "follow" || rest[0] == "len" || rest[0] == "take"):
			return nil
		case len(rest) == 2 && rest[0] == "take":
			n, err = strconv.ParseUint(rest[1], 10, 64)
			return err
		}
		return errors.New("the command is put [LINE...], take [N], follow or len")
	})
	if err != nil {
		return err
	}
	queue, err := wal.Open(ctx, *dir, wal.Options{SegmentSize: 4 << 20})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := queue.Close(); err == nil {
			err = cerr
		}
	}()
	switch flags.Arg(0) {
	case "put":
		return put(ctx, queue, flags.Args()[1:], in)
	case "take":
		return take(ctx, queue, n, out)
	case "follow":
		return follow(ctx, queue, out)
	default:
		_, err := fmt.Fprintln(out, queue.Last()+1-queue.First())
		return err
	}
}

// put appends the lines, each as a record. Records of many calls become durable
// in groups, so it waits for the last one alone.
func put(ctx context.Context, queue *wal.Log, lines []string, in io.Reader) error {
	var last *wal.Ticket
	for _, line := range lines {
		last = queue.Append([]byte(line))
	}
	if len(lines) == 0 {
		s := bufio.NewScanner(in)
		for s.Scan() {
			last = queue.Append(s.Bytes())
		}
		if err := s.Err(); err != nil {
			return err
		}
	}
	if last == nil {
		return nil
	}
	_, err := last.Await(ctx) // it comes after all before it
	return err
}

// take prints the next n lines, and removes them afterwards.
func take(ctx context.Context, queue *wal.Log, n uint64, out io.Writer) error {
	next := queue.First()
	end := next + n
	for r, err := range queue.Range(ctx, next) {
		if err == nil && r.Index < end {
			_, err = fmt.Fprintf(out, "%s\n", r.Data) // in place, without a copy
		}
		if err != nil {
			return errors.Join(err, queue.TruncateFront(next))
		}
		if r.Index == end {
			break
		}
		next = r.Index + 1
	}
	return queue.TruncateFront(next)
}

// follow prints lines as they come. It does not ask for them again and again: a
// reader at the tail is woken when a record has become durable.
func follow(ctx context.Context, queue *wal.Log, out io.Writer) error {
	for r, err := range queue.Tail(ctx, queue.First()) {
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\n", r.Data)
		}
		if err == nil {
			err = queue.TruncateFront(r.Index + 1)
		}
		switch {
		case err != nil && ctx.Err() != nil:
			return nil // interrupted
		case err != nil:
			return err
		}
	}
	return nil
}
