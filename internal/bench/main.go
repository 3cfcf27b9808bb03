// Command bench compares this library with its peers. Each workload is run by
// this library and by each peer in turn, in one process, for several rounds,
// and one line is printed per pair, tab-separated:
//
//	workload  ours  unit  peer  theirs  ratio  aim
//
// The figures are medians of the rounds. A ratio above 1 means that this
// library is better, whether the unit counts work (…/s) or time (ns, µs). Some
// workloads compare this library with itself, among many and among few, or with
// and without other work beside; their peer is the easy case. An aim is printed
// where there is one.
// Figures of one run can be compared with each other, but not with those of
// another machine or of another hour.
//
//	go run . [-run REGEXP] [-rounds N] [-time D] [-dir DIR] [-spread] [-json]
//	         [-plot DIR] [-quick] [-compare OLD.json]
//
// With -compare the exit status is 1 if a ratio has become more than 10 % worse
// than in OLD.json, the output of an earlier run with -json, beyond the spread.
//
// Files are created in DIR, which should be on a disk: on tmpfs nothing is ever
// cold and a flush costs nothing. Some workloads need root to empty the page
// cache, and one needs FUSE. A workload that cannot run is left out, with the
// reason on standard error.
package main

import (
	"encoding/json"
	"errors"
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
	disk.Main() // returns unless this process was started to serve the slow disk
	os.Exit(status(run(os.Args[1:], os.Stdout, os.Stderr), os.Stderr))
}

// errUsage is the error of a command line that the program does not understand.
var errUsage = errors.New("wrong arguments")

// status prints err and returns the exit status that belongs to it.
func status(err error, errs io.Writer) int {
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage): // run has printed it, with the usage
		return 2
	}
	fmt.Fprintln(errs, "bench:", err)
	return 1
}

type config struct {
	rounds int
	time   time.Duration // of one measurement that counts work
	dir    string
	spread bool
	json   bool
	plot   string
	quick  bool
	old    string // results to compare with
}

// parse returns the flags and what -run matches. After -h it has printed the
// usage to out, and after arguments that are wrong to errs.
func parse(args []string, out, errs io.Writer) (c config, match *regexp.Regexp, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	pattern := flags.String("run", "", "only workloads whose name matches this `regexp`")
	flags.IntVar(&c.rounds, "rounds", 5, "rounds, of which the median is taken")
	flags.DurationVar(&c.time, "time", time.Second, "`duration` of one measurement")
	flags.StringVar(&c.dir, "dir", ".", "where the files go; on a disk, not on tmpfs")
	flags.BoolVar(&c.spread, "spread", false, "add the least and the greatest of the rounds' ratios")
	flags.BoolVar(&c.json, "json", false, "print one JSON object per line instead")
	flags.StringVar(&c.plot, "plot", "", "write SVG plots of the results to this `directory`")
	flags.BoolVar(&c.quick, "quick", false, "make fewer and smaller files")
	flags.StringVar(&c.old, "compare", "", "fail if a ratio is over 10 % worse than in this `file`, written with -json")
	flags.SetOutput(io.Discard)
	err = flags.Parse(args)
	if err == nil {
		match, err = regexp.Compile(*pattern)
	}
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case c.rounds < 1 || c.time <= 0:
		err = errors.New("-rounds and -time must be positive")
	}
	if err == nil {
		return c, match, nil
	}
	to := out
	if !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(errs, "bench:", err)
		to, err = errs, errUsage
	}
	fmt.Fprintln(to, "usage: bench [flags]")
	flags.SetOutput(to)
	flags.PrintDefaults()
	return c, nil, err
}

func run(args []string, out, errs io.Writer) error {
	c, match, err := parse(args, out, errs)
	if err != nil {
		return err
	}
	var old []line
	if c.old != "" {
		if old, err = older(c.old); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(c.dir, "bench-")
	if err != nil {
		return err
	}
	c.dir = dir
	defer os.RemoveAll(dir)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE) // SIGPIPE: the reader of the output has gone
	go func() {                                                         // ends with the process
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
		if err := plot(c.plot, all); err != nil {
			return err
		}
		if match.MatchString("warm") {
			if err := c.plotWarming(c.plot); err != nil {
				fmt.Fprintf(errs, "warming: left out: %v\n", err)
			}
		}
	}
	if c.old != "" {
		return compare(old, all, errs)
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
	if l.Aim != "" {
		fmt.Fprintf(out, "\taim %s", l.Aim)
	}
	fmt.Fprintln(out)
}

// figure formats v with about three digits.
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
