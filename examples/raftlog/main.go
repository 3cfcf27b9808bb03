// Command raftlog is a replicated key-value server: hashicorp/raft with its log
// and its state on the package wal.
//
//	raftlog -id a -dir DIR -raft ADDR -http ADDR [-join ADDR]
//	raftlog three -dir DIR
//	raftlog convert RAFT.DB DIR
//
// The first form runs a node. The first node of a cluster is started without
// -join; the others name the HTTP address of any node that is a member. The
// second form runs three nodes on this machine, as three processes. The third
// makes the log of a node from the file of raft-boltdb.
//
// README.md has the requests that a node serves.
package main

import (
	"context"
	"io"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
)

func main() { cli.Main("raftlog", run) }

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "three":
			return three(ctx, args[1:], out, errs)
		case "convert":
			return convert(ctx, args[1:], out)
		}
	}
	return serve(ctx, args, out, errs)
}
