package main

import (
	"context"
	"fmt"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

var warm = command{
	name: "warm", args: "[-json] FILE...",
	brief: "read files into memory",
	help:  "Brings all pages of the files into the page cache and shows their state.",
	run: func(ctx context.Context, c *call) int {
		return c.eachFile(func(name string) error { return c.warm(ctx, name) })
	},
}

var evict = command{
	name: "evict", args: "[-json] FILE...",
	brief: "drop files from memory",
	help: `Writes the files back, asks the system to drop their pages from the page cache,
and shows their state. Pages that a process has mapped stay.`,
	run: func(_ context.Context, c *call) int {
		return c.eachFile(func(name string) error {
			return c.alive(name, func() error { return dropPages(name) })
		})
	},
}

// eachFile does something with each file, then shows it.
func (c *call) eachFile(do func(name string) error) int {
	if code, ok := c.parse(1, -1); !ok {
		return code
	}
	code := exitOK
	for _, name := range c.Args() {
		err := do(name)
		if err == nil {
			err = c.show(name)
		}
		if err != nil {
			code = c.fail(err)
		}
	}
	return code
}

// warmPiece is how many bytes are read between two looks at the context.
const warmPiece = 16 << 20

func (c *call) warm(ctx context.Context, name string) error {
	f, err := core.OpenFile(name, looking)
	if err != nil {
		return err
	}
	defer f.Close()
	size := f.Len()
	for off := int64(0); off < size; off += warmPiece {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(warmPiece, size-off)
		if err := f.Populate(off, n); err != nil {
			return err
		}
		c.progress(name, off+n, size)
	}
	return nil
}

func dropPages(name string) error {
	f, err := openRegular(name)
	if err != nil {
		return err
	}
	defer f.Close()
	// Only clean pages can be dropped. A descriptor for reading cannot be
	// synced everywhere; what stays is seen in the state.
	_ = f.Sync()
	if err := sys.DropCache(f); err != nil {
		return fmt.Errorf("evict %s: %w", name, err)
	}
	return nil
}
