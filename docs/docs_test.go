// Package docs tests the documents: every program in them compiles, vets, runs
// and prints what the document has below it, and every name of this module that
// they mention exists.
package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// block is a fenced block of a document.
type block struct {
	doc  string // the document's name
	line int    // of its first line of text
	info string // what follows the opening fence
	text string
	next bool // only blank lines are between it and the previous block
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.doc, b.line) }

// program reports whether the block is a whole file of Go, which is compiled;
// other Go is an excerpt.
func (b block) program() bool {
	return b.info == "go" && strings.HasPrefix(b.text, "package ")
}

// test reports whether the block is a file of tests.
func (b block) test() bool { return strings.Contains(b.text, "\"testing\"") }

// documents returns the names of the documents whose programs are tested.
func documents(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatal("there are no documents")
	}
	return append(names, filepath.Join("..", "README.md"))
}

// blocks returns the fenced blocks of a document.
func blocks(t *testing.T, doc string) (all []block) {
	t.Helper()
	b, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	blank := false // only blank lines since the last block
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case open == nil && strings.HasPrefix(line, "```"):
			open = &block{doc: doc, line: i + 2, info: strings.TrimPrefix(line, "```"), next: blank}
		case open == nil:
			blank = blank && strings.TrimSpace(line) == ""
		case line == "```":
			all = append(all, *open)
			open, blank = nil, true
		default:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Errorf("%v: the block has no end", open)
	}
	return all
}

// notOnWindows is a comment in a program that replaces a mapped file.
const notOnWindows = "// not on Windows"

// ours is the module's path.
const ours = "github.com/fmmap-go/fmmap"

// module creates a module of the programs, each a package named for its number,
// which requires this library as a module of a user does, and replaces it by the
// one under test.
func module(t *testing.T, programs []block) (dir string) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	dir = t.TempDir()
	write := func(text string, name ...string) {
		name = append([]string{dir}, name...)
		path := filepath.Join(name...)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The same versions of all modules, so that nothing is downloaded.
	mod := strings.Replace(read("go.mod"), "module "+ours, "module programs", 1)
	write(fmt.Sprintf("%s\nrequire %s v0.0.0\n\nreplace %[2]s => %q\n", mod, ours, filepath.ToSlash(root)), "go.mod")
	write(read("go.sum"), "go.sum")
	for i, b := range programs {
		file := "main.go"
		if b.test() {
			file = "main_test.go"
		}
		write(b.text, fmt.Sprint(i), file)
	}
	return dir
}

// command runs a program in a folder and returns what it prints.
func command(dir, name string, args ...string) (stdout, stderr string, err error) {
	var out, errs strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// Every program of the documents passes vet, runs without an error, and prints
// what the block below it has.
func TestProgramsOfTheDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a dozen programs, which takes a while")
	}
	gotool := testutil.RequireTool(t, "go")
	var programs []block
	want := map[int]string{} // the output of a program, if the document has it
	for _, doc := range documents(t) {
		all := blocks(t, doc)
		for i, b := range all {
			if !b.program() {
				continue
			}
			if i+1 < len(all) && all[i+1].next && all[i+1].info == "text" {
				want[len(programs)] = all[i+1].text
			}
			programs = append(programs, b)
		}
	}
	if len(programs) == 0 {
		t.Fatal("the documents have no programs")
	}
	t.Setenv("GOWORK", "off")
	dir := module(t, programs)
	if _, errs, err := command(dir, gotool, "vet", "./..."); err != nil {
		t.Fatalf("go vet: %v\n%s%s", err, errs, legend(programs))
	}
	bin := t.TempDir()
	build := []string{"build", "-o", bin + string(filepath.Separator)}
	for i, b := range programs {
		if !b.test() {
			build = append(build, fmt.Sprintf("./%d", i))
		}
	}
	if _, errs, err := command(dir, gotool, build...); err != nil { // all at once, which takes as long as one
		t.Fatalf("go build: %v\n%s%s", err, errs, legend(programs))
	}
	for i, b := range programs {
		t.Run(b.String(), func(t *testing.T) {
			if b.test() {
				if out, errs, err := command(dir, gotool, "test", fmt.Sprintf("./%d", i)); err != nil {
					t.Errorf("go test: %v\n%s%s", err, out, errs)
				}
				return
			}
			if runtime.GOOS == "windows" && strings.Contains(b.text, notOnWindows) {
				t.Skip("Windows renames nothing over a file that is open")
			}
			exe := filepath.Join(bin, fmt.Sprint(i))
			if runtime.GOOS == "windows" {
				exe += ".exe"
			}
			out, errs, err := command(t.TempDir(), exe)
			if err != nil {
				t.Fatalf("%v\n%s%s", err, out, errs)
			}
			if want, ok := want[i]; ok && out != want {
				t.Errorf("it prints\n%s\nwant\n%s", out, want)
			}
		})
	}
}

// legend lists where each program is.
func legend(programs []block) string {
	var s strings.Builder
	for i, b := range programs {
		fmt.Fprintf(&s, "%d is %v\n", i, b)
	}
	return s.String()
}
