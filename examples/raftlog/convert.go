package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/examples/internal/cli"
	"github.com/fmmap-go/fmmap/examples/raftlog/store"
	"github.com/fmmap-go/fmmap/wal"
)

// convert makes the log of a node from the file of raft-boltdb.
func convert(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("raftlog convert", flag.ContinueOnError)
	err := cli.Parse(flags, "raftlog convert RAFT.DB DIR", args, out, func() error {
		if flags.NArg() != 2 {
			return errors.New("two arguments are needed: the file, and the node's directory")
		}
		return nil
	})
	if err != nil {
		return err
	}
	n, err := convertBolt(ctx, flags.Arg(0), flags.Arg(1))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d entries, from %d to %d, and %d settings\n", n.entries, n.first, n.last, n.settings)
	if n.dropped > 0 {
		fmt.Fprintf(out, "%d entries before a hole were left out\n", n.dropped)
	}
	if n.first > 1 {
		fmt.Fprintf(out, "needed beside it: a snapshot up to entry %d or later\n", n.first-1)
	}
	return nil
}

// converted counts what convertBolt has done.
type converted struct {
	first, last                uint64
	entries, dropped, settings int
}

// buckets of raft-boltdb.
var (
	boltLogs = []byte("logs")
	boltConf = []byte("conf")
)

// convertBolt copies entries and settings from the file of raft-boltdb into a new
// log in the node's directory. The file is only read. The log appears under its
// name when it is whole.
//
// The file of raft-boltdb may have holes: raft goes on behind a snapshot that it
// has installed. What comes before the last hole is left out.
func convertBolt(ctx context.Context, file, dir string) (n converted, err error) {
	if _, err := os.Stat(logDir(dir)); !errors.Is(err, fs.ErrNotExist) {
		return n, errors.Join(fmt.Errorf("%s is there already", logDir(dir)), err)
	}
	db, err := bbolt.Open(file, 0o400, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return n, fmt.Errorf("%s: %w", file, err)
	}
	defer db.Close()
	unfinished := logDir(dir) + ".new"
	if err := os.RemoveAll(unfinished); err != nil { // of a conversion that was interrupted
		return n, err
	}
	s, err := store.Open(ctx, unfinished, wal.Options{})
	if err != nil {
		return n, err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		logs, conf := tx.Bucket(boltLogs), tx.Bucket(boltConf)
		if logs == nil || conf == nil {
			return fmt.Errorf("%s is no file of raft-boltdb", file)
		}
		if err := n.copyLogs(ctx, s, logs); err != nil {
			return err
		}
		return conf.ForEach(func(key, value []byte) error {
			n.settings++
			return s.Set(key, value)
		})
	})
	if err = errors.Join(err, s.Close()); err != nil {
		return n, errors.Join(err, os.RemoveAll(unfinished))
	}
	if err := os.Rename(unfinished, logDir(dir)); err != nil {
		return n, err
	}
	return n, core.SyncParent(logDir(dir))
}

// copyLogs copies the entries behind the last hole.
func (n *converted) copyLogs(ctx context.Context, s *store.Store, logs *bbolt.Bucket) error {
	c := logs.Cursor()
	index := func(key []byte) uint64 { return binary.BigEndian.Uint64(key) }
	from, _ := c.Last()
	if from == nil {
		return nil
	}
	n.last, n.first = index(from), index(from)
	for key, _ := c.Prev(); key != nil && index(key) == n.first-1; key, _ = c.Prev() {
		n.first--
	}
	n.entries = int(n.last - n.first + 1)
	n.dropped = logs.Stats().KeyN - n.entries
	batch, size := []*raft.Log(nil), 0
	for key, value := c.Seek(binary.BigEndian.AppendUint64(nil, n.first)); key != nil; key, value = c.Next() {
		e := new(raft.Log)
		if err := codec.NewDecoderBytes(value, &codec.MsgpackHandle{}).Decode(e); err != nil {
			return fmt.Errorf("entry %d: %w", index(key), err)
		}
		if e.Index != index(key) {
			return fmt.Errorf("entry %d says that it is %d", index(key), e.Index)
		}
		batch, size = append(batch, e), size+len(e.Data)
		if size >= 1<<20 || len(batch) == 1024 || e.Index == n.last {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := s.StoreLogs(batch); err != nil {
				return err
			}
			batch, size = nil, 0
		}
	}
	return nil
}
