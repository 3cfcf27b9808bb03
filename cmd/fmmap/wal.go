package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fmmap-go/fmmap/wal"
)

var walCommand = command{
	name: "wal", args: "ls|dump|verify|repair [-json] [-from INDEX] [-n COUNT] DIR",
	brief: "list, dump, verify or repair a log of package wal",
	help: `ls      shows the range of records and the files
dump    writes the records, by default all, each with its index
verify  checks each record against its checksum
repair  keeps the records before the first damage and copies the files with the
        others to DIR/damaged-...

The log is opened as a program opens it, which ends what a crash left open. A log
that is in use is refused. Options may also stand before the verb.`,
	run: runWAL,
}

func runWAL(ctx context.Context, c *call) int {
	from := c.Uint64("from", 0, "first record of dump; 0 means the first of the log")
	count := c.Uint64("n", 0, "number of records of dump; 0 means all")
	verb, code, ok := c.parseVerb(1)
	if !ok {
		return code
	}
	dir := c.Arg(0)
	do := map[string]func(l *wal.Log) error{
		"ls":     func(l *wal.Log) error { return c.walList(l, dir) },
		"dump":   func(l *wal.Log) error { return c.walDump(ctx, l, *from, *count) },
		"verify": func(l *wal.Log) error { return c.walVerify(ctx, l) },
		"repair": nil,
	}
	work, ok := do[verb]
	if !ok {
		return c.usage(fmt.Sprintf("%q is none of ls, dump, verify and repair", verb))
	}
	// Opening would create a log.
	if _, err := os.Stat(filepath.Join(dir, "meta")); err != nil {
		return c.fail(fmt.Errorf("no log: %w", err))
	}
	if work == nil {
		return c.walRepair(ctx, dir)
	}
	l, err := wal.Open(ctx, dir, wal.Options{})
	if err != nil {
		return c.fail(err)
	}
	err = work(l)
	if closed := l.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return c.fail(err)
	}
	return exitOK
}

func (c *call) walList(l *wal.Log, dir string) error {
	type file struct {
		Name string `json:"name"`
		Size int64  `json:"size"`
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	files := []file{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, file{e.Name(), info.Size()})
		}
	}
	if *c.json {
		return c.encode(map[string]any{"first": l.First(), "last": l.Last(), "files": files})
	}
	fmt.Fprintf(c.stdout, "records %d to %d\n", l.First(), l.Last())
	for _, f := range files {
		fmt.Fprintf(c.stdout, "%12d %s\n", f.Size, f.Name)
	}
	return nil
}

func (c *call) walDump(ctx context.Context, l *wal.Log, from, count uint64) error {
	if from == 0 {
		from = l.First()
	}
	if from > l.Last() {
		return nil
	}
	n := uint64(0)
	for r, err := range l.Range(ctx, from) {
		if err != nil {
			return err
		}
		if *c.json {
			err = c.encode(map[string]any{"index": r.Index, "data": r.Data})
		} else {
			_, err = fmt.Fprintf(c.stdout, "%d %q\n", r.Index, r.Data)
		}
		if n++; err != nil || n == count {
			return err
		}
	}
	return nil
}

func (c *call) walVerify(ctx context.Context, l *wal.Log) error {
	if err := c.alive("verifying", func() error { return l.Verify(ctx) }); err != nil {
		return err
	}
	if *c.json {
		return c.encode(map[string]any{"first": l.First(), "last": l.Last(), "ok": true})
	}
	_, err := fmt.Fprintf(c.stdout, "records %d to %d are whole\n", l.First(), l.Last())
	return err
}

func (c *call) walRepair(ctx context.Context, dir string) int {
	var r wal.Repaired
	err := c.alive("repairing", func() (err error) {
		r, err = wal.Repair(ctx, dir, wal.Options{})
		return err
	})
	if err != nil {
		return c.fail(err)
	}
	problem := ""
	if r.Problem != nil {
		problem = r.Problem.Error()
	}
	switch {
	case *c.json:
		err = c.encode(map[string]any{"problem": problem, "last": r.Last, "aside": r.Aside})
	case r.Problem == nil:
		_, err = fmt.Fprintf(c.stdout, "nothing to repair; the last record is %d\n", r.Last)
	default:
		_, err = fmt.Fprintf(c.stdout, "found: %s\nthe last record is %d now\n", problem, r.Last)
		for _, name := range r.Aside {
			fmt.Fprintf(c.stdout, "kept aside: %s\n", name)
		}
	}
	if err != nil {
		return c.fail(err)
	}
	return exitOK
}
