// Package sandbox puts a test process into a sandbox that refuses system calls,
// as containers, systemd units and gVisor do. It is for tests alone.
//
// A test binary whose TestMain calls [Enter] runs all its tests under what the
// environment variable [Env] asks for: a list of NAME=RESULT with commas
// between, for example
//
//	FMMAP_REFUSE=mincore=EPERM,madvise(MADV_WILLNEED)=0
//
// A name is one of [Names]. The result is the name of an error number, or 0: a
// call that reports success and does nothing.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Env is the environment variable that Enter reads.
const Env = "FMMAP_REFUSE"

// A refusal is one element of the list in Env.
type refusal struct {
	name   string
	result string
}

// Enter refuses the calls that the environment asks for, on all threads of this
// process, for the rest of its life and in every process that it starts. It
// does nothing where the environment asks for nothing, and fails where the
// system cannot filter calls.
func Enter() error {
	list := os.Getenv(Env)
	if list == "" {
		return nil
	}
	if err := install(asked()); err != nil {
		return fmt.Errorf("%s=%s: %w", Env, list, err)
	}
	return nil
}

// asked returns what the environment asks for.
func asked() (all []refusal) {
	if list := os.Getenv(Env); list != "" {
		for r := range strings.SplitSeq(list, ",") {
			name, result, _ := strings.Cut(r, "=")
			all = append(all, refusal{name, result})
		}
	}
	return all
}

// Refuses reports whether the environment asks for a sandbox that refuses the
// call of this name with an error.
func Refuses(name string) bool {
	return slices.ContainsFunc(asked(), func(r refusal) bool { return r.name == name && r.result != "0" })
}

// Names returns the names of the calls that can be refused: none where the
// system cannot filter calls.
func Names() []string { return names() }

var errUnknown = errors.New("unknown name or result")
