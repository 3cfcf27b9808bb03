package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
)

// three runs three nodes as processes of this machine until ctx is done. One of
// them may be killed: its command line is printed, to start it again.
func three(ctx context.Context, args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("raftlog three", flag.ContinueOnError)
	dir := flags.String("dir", "three", "`directory` of the nodes; created when absent")
	port := flags.Int("port", 7001, "first of six `ports`: three for raft, three for clients")
	err := cli.Parse(flags, "raftlog three [flags]", args, out, func() error {
		switch {
		case flags.NArg() > 0:
			return fmt.Errorf("unexpected argument %q", flags.Arg(0))
		case *port < 1 || *port+5 > 65535:
			return fmt.Errorf("-port %d: from 1 to 65530", *port)
		}
		return nil
	})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", *port+i) }
	lines := &lineWriter{to: errs}
	ended := make([]error, 3)
	var wg sync.WaitGroup
	for i, id := range []string{"a", "b", "c"} {
		args := []string{"-id", id, "-dir", filepath.Join(*dir, id), "-raft", addr(i), "-http", addr(3 + i)}
		if i > 0 {
			args = append(args, "-join", addr(3))
		}
		lines.print(fmt.Sprintf("node %s: %s %s", id, self, strings.Join(args, " ")))
		wg.Go(func() { // ends with the process, which ends with ctx
			if ended[i] = child(ctx, lines, self, args); ended[i] != nil && ctx.Err() == nil {
				lines.print(fmt.Sprintf("node %s: %v", id, ended[i]))
			}
		})
	}
	lines.print(fmt.Sprintf("the page: http://%s/", addr(3)))
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(ended...)
}

// child runs a process until it ends, or asks it to end when ctx is done.
func child(ctx context.Context, lines *lineWriter, self string, args []string) error {
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	done := make(chan struct{})
	go func() { // ends when w is closed
		defer close(done)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines.print(s.Text())
		}
		_, _ = io.Copy(io.Discard, r) // a line too long to show
	}()
	err := cmd.Run()
	_ = w.Close()
	<-done
	return err
}

// A lineWriter writes lines of several goroutines, one after the other.
type lineWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (l *lineWriter) print(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.to, line)
}
