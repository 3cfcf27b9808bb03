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
	"time"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
)

// settings are the flags of a node.
type settings struct {
	id, dir    string
	raft, http string // addresses
	join       string
	heartbeat  time.Duration
	keep       uint64
	every      uint64
	segment    int64
	verbose    bool
}

func parse(args []string, out io.Writer) (s settings, err error) {
	flags := flag.NewFlagSet("raftlog", flag.ContinueOnError)
	flags.StringVar(&s.id, "id", "", "`name` of the node; it never changes")
	flags.StringVar(&s.dir, "dir", "", "`directory` of the node; created when absent")
	flags.StringVar(&s.raft, "raft", "127.0.0.1:7001", "`address` for the other nodes")
	flags.StringVar(&s.http, "http", "127.0.0.1:8001", "`address` for clients")
	flags.StringVar(&s.join, "join", "", "HTTP `addresses` of members of the cluster to join, with commas between them")
	flags.DurationVar(&s.heartbeat, "heartbeat", time.Second, "without a sign of the leader for so long, another is elected")
	flags.Uint64Var(&s.every, "snapshot", 8192, "a snapshot is taken every so many `entries`")
	flags.Uint64Var(&s.keep, "keep", 10240, "how many `entries` before a snapshot are kept, for nodes that lag behind")
	flags.Int64Var(&s.segment, "segment", 16<<20, "length of a file of the log in `bytes`")
	flags.BoolVar(&s.verbose, "v", false, "log what raft does, and not only what is wrong")
	err = cli.Parse(flags, "raftlog -id NAME -dir DIR [flags]", args, out, func() error {
		switch {
		case flags.NArg() > 0:
			return fmt.Errorf("unexpected argument %q", flags.Arg(0))
		case s.id == "":
			return errors.New("-id is missing")
		case s.dir == "":
			return errors.New("-dir is missing")
		case s.heartbeat < 10*time.Millisecond:
			return fmt.Errorf("-heartbeat %v: at least 10ms", s.heartbeat)
		case s.every == 0:
			return errors.New("-snapshot is 0")
		}
		return nil
	})
	return s, err
}

// serve runs a node until ctx is done. It logs to errs, among the first lines
// where it serves.
func serve(ctx context.Context, args []string, out, errs io.Writer) (err error) {
	s, err := parse(args, out)
	if err != nil {
		return err
	}
	logger := log.New(errs, "raftlog "+s.id+": ", 0)
	listener, err := net.Listen("tcp", s.http)
	if err != nil {
		return err
	}
	defer listener.Close()
	s.http = listener.Addr().String()
	n, err := openNode(ctx, s, errs)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := n.close(); err == nil {
			err = cerr
		}
	}()
	logger.Printf("serving http://%s", s.http)

	ctx, stop := context.WithCancel(ctx)
	background := make(chan struct{})
	go func() { // ends with ctx
		defer close(background)
		n.announce(ctx, logger)
	}()
	defer func() { stop(); <-background }()

	server := &http.Server{Handler: newHandler(n, logger), ErrorLog: logger, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }() // ends with Shutdown or Close
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	logger.Printf("closing")
	drain, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		server.Close() // cuts off the other requests, which were not acknowledged
	}
	return nil
}
