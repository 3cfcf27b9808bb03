package main

import (
	"context"
	"fmt"
	"time"
)

var watch = command{
	name: "watch", args: "[-json] [-folios] [-n INTERVAL] [-c COUNT] FILE",
	brief: "show what stat shows, again and again",
	help: `Shows the state of the file at each interval until it is interrupted, which is
success. The file is looked up by name each time, so a replaced file is followed.`,
	run: runWatch,
}

func runWatch(ctx context.Context, c *call) int {
	interval := c.Duration("n", time.Second, "time between two looks")
	c.folios = c.Bool("folios", false, "count the folios in memory by size")
	count := c.Int("c", 0, "number of looks; 0 means no limit")
	if code, ok := c.parse(1, 1); !ok {
		return code
	}
	if *interval <= 0 || *count < 0 {
		return c.usage("the interval must be positive and the count not negative")
	}
	tick := time.NewTicker(*interval)
	defer tick.Stop()
	for n := 1; ; n++ {
		if !*c.json && isTerminal(c.stdout) {
			fmt.Fprint(c.stdout, "\x1b[H\x1b[2J")
		}
		if err := c.show(c.Arg(0)); err != nil {
			return c.fail(err)
		}
		if n == *count {
			return exitOK
		}
		select {
		case <-ctx.Done():
			return exitOK
		case <-tick.C:
		}
	}
}
