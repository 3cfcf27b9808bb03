package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// module makes a module of the programs in testdata that imports the library
// itself, which shows that the packages of testdata have its shape.
func module(t *testing.T) (dir string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "core")); err != nil {
		t.Skipf("needs the library beside the tool: %v", err)
	}
	dir = t.TempDir()
	for _, name := range []string{"pinrelease", "pinuse", "viewescape", "selfwait", "deferstart", "flusherror", "right"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join("vet/testdata/src", name))); err != nil {
			t.Fatal(err)
		}
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Replace(string(mod), "module github.com/fmmap-go/fmmap", "module programs", 1) +
		"\nrequire github.com/fmmap-go/fmmap v0.0.0\nreplace github.com/fmmap-go/fmmap => " + "\"" + filepath.ToSlash(root) + "\"\n"
	for name, text := range map[string]string{"go.mod": own, "go.sum": string(sums)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run runs a command in dir and returns its output and exit status.
func run(t *testing.T, dir string, args ...string) (out string, status int) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	b, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v\n%s", args, err, b)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// The tool finds the mistakes by itself and under go vet, with programs that
// are compiled against the library, and finds none in those that are right.
func TestTool(t *testing.T) {
	dir := module(t)
	tool := filepath.Join(t.TempDir(), "fmmapvet.exe")
	if out, status := run(t, ".", "go", "build", "-o", tool, "."); status != 0 {
		t.Fatal(out)
	}
	for _, with := range [][]string{{tool}, {"go", "vet", "-vettool=" + tool}} {
		if out, status := run(t, dir, append(with, "./right/...")...); status != 0 {
			t.Errorf("%v on right programs: status %d\n%s", with, status, out)
		}
		out, status := run(t, dir, append(with, "./...")...)
		if status == 0 {
			t.Errorf("%v on mistakes: status 0", with)
		}
		for _, want := range []string{
			"is not released on all paths", "refers to bytes of the pin", "leave the callback", "waits for the callback",
			"starts here", "is discarded",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%v on mistakes: nothing %q in\n%s", with, want, out)
			}
		}
	}
}
