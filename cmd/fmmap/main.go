// Fmmap looks at mapped files and works with them: what is in memory, what is
// dirty, which process holds a lock, what is in a log, and what a disk does.
//
//	fmmap stat FILE...
//	fmmap help COMMAND
//
// It exits with 0, with 1 when it failed, and with 2 when it was called wrongly.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// A command is one of the program's commands.
type command struct {
	name, args, brief string
	help              string // behind the usage line
	noJSON            bool   // it writes nothing of its own
	run               func(ctx context.Context, c *call) int
}

// A call is one run of a command.
type call struct {
	*flag.FlagSet
	args           []string // of the command, not yet parsed
	in             io.Reader
	stdout, stderr io.Writer
	json           *bool // nil for lock
	folios         *bool // of stat and watch; nil for the others
}

func commands() []command {
	return []command{stat, watch, warm, evict, bench, lockCommand, walCommand}
}

func main() {
	ends := slices.DeleteFunc(slices.Clone(sys.EndSignals), signal.Ignored) // as under nohup
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs the program with the arguments after its name and returns its exit
// code.
func run(ctx context.Context, args []string, in io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		overview(stderr)
		return exitUsage
	}
	name, args := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(args) == 0 {
			overview(stdout)
			return exitOK
		}
		name, args = args[0], []string{"-h"}
	}
	for _, cmd := range commands() {
		if cmd.name == name {
			return start(ctx, cmd, args, in, stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "fmmap: unknown command %q\n", name)
	overview(stderr)
	return exitUsage
}

// start runs one command.
func start(ctx context.Context, cmd command, args []string, in io.Reader, stdout, stderr io.Writer) int {
	set := flag.NewFlagSet("fmmap "+cmd.name, flag.ContinueOnError)
	set.Usage = func() {
		fmt.Fprintf(set.Output(), "Usage: fmmap %s %s\n\n%s\n\nOptions:\n", cmd.name, cmd.args, cmd.help)
		set.PrintDefaults()
	}
	c := &call{FlagSet: set, args: args, in: in, stdout: stdout, stderr: stderr}
	if !cmd.noJSON {
		c.json = set.Bool("json", false, "write JSON, one value per line")
	}
	return cmd.run(ctx, c)
}

// parse parses the flags. If the command must not go on, ok is false and code is
// its exit code.
func (c *call) parse(least, most int) (code int, ok bool) {
	c.SetOutput(io.Discard) // Parse would write to one output whether help was asked for or not
	err := c.Parse(c.args)
	c.SetOutput(c.stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.SetOutput(c.stdout)
		c.Usage()
		return exitOK, false
	case err != nil:
		return c.usage(err.Error()), false
	case c.NArg() < least || most >= 0 && c.NArg() > most:
		return c.usage("wrong number of arguments"), false
	}
	return exitOK, true
}

// parseVerb parses the flags before and after a verb, which is the first argument,
// and demands n arguments after it.
func (c *call) parseVerb(n int) (verb string, code int, ok bool) {
	if code, ok = c.parse(1, -1); !ok {
		return "", code, false
	}
	verb, c.args = c.Arg(0), c.Args()[1:]
	code, ok = c.parse(n, n)
	return verb, code, ok
}

// usage reports a wrong call.
func (c *call) usage(why string) int {
	fmt.Fprintf(c.stderr, "%s: %s\n", c.Name(), why)
	c.Usage()
	return exitUsage
}

// fail reports an error.
func (c *call) fail(err error) int {
	fmt.Fprintf(c.stderr, "%s: %v\n", c.Name(), err)
	return exitFailed
}

// encode writes a line of JSON.
func (c *call) encode(v any) error { return json.NewEncoder(c.stdout).Encode(v) }

func overview(w io.Writer) {
	fmt.Fprint(w, "Usage: fmmap COMMAND [OPTION]... ARGUMENT...\n\nCommands:\n")
	for _, cmd := range commands() {
		fmt.Fprintf(w, "  %-6s %s\n", cmd.name, cmd.brief)
	}
	fmt.Fprint(w, "\nfmmap help COMMAND describes one.\n")
}
