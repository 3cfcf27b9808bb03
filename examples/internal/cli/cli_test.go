package cli

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
)

func TestStatusAndUsage(t *testing.T) {
	failed := errors.New("no such thing")
	for _, c := range []struct {
		name, args string
		run        error // what the program returns once its flags are parsed
		status     int
		out, errs  string // how standard output and standard error begin
		usage      bool   // the usage is on standard error
	}{
		{"success", "-n 3", nil, 0, "", "", false},
		{"help", "-h", nil, 0, "usage: prog [-n N]\n  -n", "", false},
		{"long help", "-help", nil, 0, "usage: prog [-n N]\n  -n", "", false},
		{"unknown flag", "-what", nil, 2, "", "prog: flag provided but not defined: -what\n", true},
		{"no number", "-n x", nil, 2, "", "prog: invalid value \"x\" for flag -n", true},
		{"refused by check", "-n 0", nil, 2, "", "prog: -n is 0\n", true},
		{"failure", "-n 3", failed, 1, "", "prog: no such thing\n", false},
		{"wrapped usage error", "-n 3", fmt.Errorf("late: %w", &UsageError{failed, "usage: prog\n"}), 2, "", "prog: late: no such thing\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			flags := flag.NewFlagSet("prog", flag.ExitOnError)
			n := flags.Int("n", 1, "a `number`")
			var out, errs strings.Builder
			err := Parse(flags, "prog [-n N]", strings.Fields(c.args), &out, func() error {
				if *n == 0 {
					return errors.New("-n is 0")
				}
				return nil
			})
			if err == nil {
				err = c.run
			}
			if got := status("prog", err, &errs); got != c.status {
				t.Errorf("exit status %d, want %d", got, c.status)
			}
			for _, s := range []struct{ stream, got, want string }{{"output", out.String(), c.out}, {"error", errs.String(), c.errs}} {
				if !strings.HasPrefix(s.got, s.want) || s.want == "" && s.got != "" {
					t.Errorf("standard %s is %q, want %q", s.stream, s.got, s.want)
				}
			}
			if got := strings.Contains(errs.String(), "usage: prog"); got != c.usage {
				t.Errorf("usage on standard error: %t, want %t:\n%s", got, c.usage, errs.String())
			}
		})
	}
}
