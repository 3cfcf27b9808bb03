// Command bench holds this library against what people use today. Each workload
// is run by ours and by each peer in turn, in one process, for several rounds, and one line is printed for each
// pair, tab-separated:
//
//	workload  ours  unit  peer  theirs  ratio
//
// The figures are medians of the rounds; a ratio above 1 means that ours is better, whether
// the unit counts work (…/s) or time (ns, µs). Figures of one run can be compared with each other and not with those of
// another machine, or of another hour.
//
//	go run . [-run REGEXP] [-rounds N] [-time D] [-dir DIR] [-spread] [-json] [-plot DIR]
//
// Files go into DIR, which should be on a disk: on tmpfs nothing is ever cold
// and a flush costs nothing. Some workloads need root to empty the page cache, and one needs FUSE; without,
// they say so on standard error and are left out.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"syscall"
	"time"

	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

func main() {
	disk.Main() // this program, started again, is the slow disk
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type config struct {
	rounds int
	time   time.Duration // of one measurement that counts work
	dir    string
	spread bool
	json   bool
	plot   string
}

func run(args []string, out, errs io.Writer) error {
	var c config
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	pattern := flags.String("run", "", "only workloads whose name matches this `regexp`")
	flags.IntVar(&c.rounds, "rounds", 5, "rounds, of which the median is taken")
	flags.DurationVar(&c.time, "time", time.Second, "`duration` of one measurement")
	flags.StringVar(&c.dir, "dir", ".", "where the files go; on a disk, not on tmpfs")
	flags.BoolVar(&c.spread, "spread", false, "add the least and the greatest of the rounds' ratios")
	flags.BoolVar(&c.json, "json", false, "print one JSON object a line instead")
	flags.StringVar(&c.plot, "plot", "", "write SVG plots of what was run to this `directory`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	match, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	if c.rounds < 1 || c.time <= 0 {
		return fmt.Errorf("-rounds and -time must be positive")
	}
	dir, err := os.MkdirTemp(c.dir, "bench-")
	if err != nil {
		return err
	}
	c.dir = dir
	defer os.RemoveAll(dir)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-stop
		os.RemoveAll(dir)
		os.Exit(130)
	}()

	var all []line
	for _, w := range workloads() {
		if !match.MatchString(w.name) {
			continue
		}
		lines, err := c.contest(w)
		if err != nil {
			fmt.Fprintf(errs, "%s: left out: %v\n", w.name, err)
			continue
		}
		for _, l := range lines {
			c.print(out, l)
		}
		all = append(all, lines...)
		runtime.GC()
	}
	if c.plot != "" {
		return plot(c.plot, all)
	}
	return nil
}

func (c config) print(out io.Writer, l line) {
	if c.json {
		b, _ := json.Marshal(l) // of numbers and strings: cannot fail
		fmt.Fprintf(out, "%s\n", b)
		return
	}
	fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%.2f", l.Workload, figure(l.Ours), l.Unit, l.Peer, figure(l.Theirs), l.Ratio)
	if c.spread {
		fmt.Fprintf(out, "\t%.2f..%.2f", l.Least, l.Greatest)
	}
	fmt.Fprintln(out)
}

// figure prints about three digits.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
