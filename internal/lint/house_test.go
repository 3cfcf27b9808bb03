package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed lists the packages of the module that each package may import, except
// in tests.
var allowed = map[string][]string{
	".":                        {},
	"core":                     {"lock", "internal/sys", "internal/bounds", "internal/invariant", "internal/seen", "internal/stacks", "internal/stripe"},
	"lock":                     {"internal/sys", "internal/invariant"},
	"flush":                    {"latency", "internal/bounds", "internal/invariant"},
	"async":                    {"core", "lock", "flush", "latency", "internal/bounds", "internal/invariant", "internal/medium", "internal/stripe", "internal/lane"},
	"async/antspool":           {"async"},
	"wal":                      {"async", "core", "flush", "latency", "lock", "internal/sys"},
	"contrib/internal/metrics": {"async", "flush", "wal", "latency"},
	"contrib/otel":             {"async", "flush", "wal", "latency", "contrib/internal/metrics"},
	"contrib/prometheus":       {"async", "flush", "wal", "latency", "contrib/internal/metrics"},
	"latency":                  {},
	"async/asynctest":          {"async"},
	"internal/bounds":          {},
	"internal/seen":            {},
	"internal/stacks":          {"internal/sys"},
	"internal/stripe":          {},
	"internal/invariant":       {},
	"internal/lane":            {"internal/invariant"},
	"internal/medium":          {"internal/sys"},
	"internal/sys":             {},
	"internal/sys/sandbox":     {},
	"internal/sys/systest":     {},
	"internal/testutil":        {"internal/sys/sandbox", "internal/sys/systest"},
	"internal/lint":            {},
	"cmd/fmmap":                {"core", "lock", "flush", "async", "wal", "internal/sys"},
	"examples/internal/cli":    {},
	"examples/quickstart":      {"core", "wal", "examples/internal/cli"},
	"examples/eventlog":        {"async", "async/antspool", "core", "lock", "wal", "contrib/prometheus", "examples/internal/cli"},
	"examples/pipeline":        {"async", "core", "examples/internal/cli"},
	"examples/queue":           {"wal", "examples/internal/cli"},
	"examples/index":           {"core", "examples/internal/cli"},
	"examples/counters":        {"async", "core", "flush", "examples/internal/cli"},

	"examples/raftlog":       {"core", "lock", "wal", "examples/internal/cli", "examples/raftlog/store"},
	"examples/raftlog/store": {"wal"},

	"docs/columns":            {"core"},
	"docs/programs/bolt":      {"async", "core"},
	"docs/programs/executors": {"async"},
}

func TestImportsPointOneWay(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() || nested(s.pkg) {
			continue
		}
		may, known := allowed[s.pkg]
		if !known && s.pkg != "docs" {
			t.Errorf("%s: a package that is not in the list of imports", s.path)
		}
		for _, i := range s.ast.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if pkg, ours := strings.CutPrefix(path, module+"/"); ours && !slices.Contains(may, pkg) {
				t.Errorf("%s imports %s", s.path, pkg)
			}
		}
	}
}

// Importing ants starts goroutines that never end, so only a program that asks
// for it gets it.
func TestOnlyAntspoolImportsAnts(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg == "async/antspool" || nested(s.pkg) {
			continue
		}
		for _, i := range s.ast.Imports {
			if strings.HasPrefix(i.Path.Value, `"github.com/panjf2000/ants`) {
				t.Errorf("%s imports ants", s.path)
			}
		}
	}
}

// nested reports whether a folder is a module of its own, with rules of its own.
// (examples/eventlog is one that keeps these.)
func nested(pkg string) bool {
	for _, m := range []string{"cmd/fmmapvet", "internal/bench", "internal/tools", "internal/torture"} {
		if pkg == m || strings.HasPrefix(pkg, m+"/") {
			return true
		}
	}
	return false
}

// A module for users in a folder of its own requires a version of the root that
// exists, or the zero pseudo-version, which is below each that exists: its replace
// does not hold in the module of a user.
func TestModulesForUsersCanBeRequired(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root(t), "contrib", "*", "go.mod"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no modules: %v", err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(strings.Fields(string(b)), "v0.0.0") {
			t.Errorf("%s requires v0.0.0, which is no version", path)
		}
	}
}

// platforms is the folder that, with those in it, may have files for certain
// systems. (So may the nested modules, which are for Linux.)
const platforms = "internal/sys"

// invariants has the one tag that is no platform: it turns a constant on.
const invariants = "internal/invariant"

// constrained matches the names of files that are built for certain systems.
var constrained = regexp.MustCompile(`_(aix|android|darwin|dragonfly|freebsd|illumos|ios|js|linux|netbsd|openbsd|plan9|solaris|wasip1|windows|386|amd64|arm|arm64|s390x|wasm)(_test)?\.go$`)

// forNewer is the constraint of files for versions of Go after the one of go.mod.
// Their names end in the version, so that gofmt of an older one can leave them out.
const forNewer = "//go:build go1."

var namedForNewer = regexp.MustCompile(`_go1[0-9]+(_test)?\.go$`)

// Only the folder platforms has system calls and build tags.
func TestPlatformsStayInTheirPlace(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg == platforms || strings.HasPrefix(s.pkg, platforms+"/") || s.pkg == invariants || nested(s.pkg) {
			continue
		}
		if newer := strings.HasPrefix(s.text, forNewer); newer != namedForNewer.MatchString(s.path) {
			t.Errorf("%s: its name or its constraint is for a version of Go, and the other is not", s.path)
		} else if newer {
			continue
		}
		if strings.Contains(s.text, "\n//go:build ") || strings.HasPrefix(s.text, "//go:build ") || constrained.MatchString(s.path) {
			t.Errorf("%s is for certain systems", s.path)
		}
		for _, i := range s.ast.Imports {
			// What is not a test, nor a program that takes signals, names no
			// system call.
			if p := i.Path.Value; !s.test() && (strings.HasPrefix(p, `"golang.org/x/sys`) || p == `"syscall"` && !strings.HasPrefix(s.pkg, "examples/")) {
				t.Errorf("%s imports %s", s.path, p)
			}
		}
	}
}

// wine has the one init: it turns a variable on in builds with its tag.
const wine = "internal/sys/wine_windows.go"

var unwanted = []struct {
	what string
	re   *regexp.Regexp
	in   func(source) bool // nil: in all files
}{
	{"something left to do", regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`), nil},
	{"a sleep", regexp.MustCompile(`\btime\.Sleep\(`), func(s source) bool { return s.test() && !s.imports("testing/synctest") }},
	{"an init", regexp.MustCompile(`(?m)^func init\(\)`), func(s source) bool { return s.path != wine && !nested(s.pkg) }},
	{"a skip without a reason", regexp.MustCompile(`\bt\.(Skip|SkipNow)\(\)`), source.test},
}

// Nothing is left to do, no init runs, no test sleeps outside a bubble of
// synctest, and no file is too long to read.
func TestNothingIsLeftToDo(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg == "internal/lint" {
			continue
		}
		for _, u := range unwanted {
			if at := u.re.FindStringIndex(s.text); at != nil && (u.in == nil || u.in(s)) {
				t.Errorf("%s:%d: %s", s.path, 1+strings.Count(s.text[:at[0]], "\n"), u.what)
			}
		}
		if n := strings.Count(s.text, "\n"); n > 600 {
			t.Errorf("%s has %d lines", s.path, n)
		}
	}
}
