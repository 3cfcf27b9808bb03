package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Go code that is not a whole program cannot be compiled by itself, so it is a
// copy of code that is compiled: of an example of a package, or of a program in
// examples, docs/programs or docs/columns.
func TestExcerptsAreCopies(t *testing.T) {
	var sources []string
	for _, root := range []string{"core", "lock", "flush", "async", "wal", "contrib", "examples", "docs/programs", "docs/columns"} {
		programs := root == "examples" || strings.HasPrefix(root, "docs/") // all of it, not the examples alone
		err := filepath.WalkDir(filepath.Join("..", root), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			if b, err := os.ReadFile(path); err == nil && (programs || strings.Contains(d.Name(), "example")) {
				sources = append(sources, flat(string(b)))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	others, err := filepath.Glob("../contrib/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range append(documents(t), others...) {
		for _, b := range blocks(t, doc) {
			if b.info == "go" && !b.program() && !within(sources, flat(b.text)) {
				t.Errorf("%v: no example has this code:\n%s", b, b.text)
			}
		}
	}
}

// flat returns text without the indentation of its lines.
func flat(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return "\n" + strings.Join(lines, "\n") + "\n"
}

// within reports whether one of the sources contains the excerpt.
func within(sources []string, excerpt string) bool {
	for _, s := range sources {
		if strings.Contains(s, excerpt) {
			return true
		}
	}
	return false
}
