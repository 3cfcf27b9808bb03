package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/fmmap-go/fmmap"

// source is a Go file of the repository.
type source struct {
	path string // from the root, with slashes
	pkg  string // its folder
	text string
	ast  *ast.File

	lines []string
	fset  *token.FileSet
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) imports(path string) bool {
	return slices.ContainsFunc(s.ast.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote(path) })
}

// root returns the root of the repository.
func root(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("../../go.mod"); err != nil {
		t.Skipf("needs the repository, which is not there: %v", err)
	}
	return "../.."
}

// files returns the names of the files below the root that end with the suffix,
// in nested modules too, but not in vendored code.
func files(t *testing.T, suffix string) (names []string) {
	t.Helper()
	top := root(t)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != top && (strings.HasPrefix(name, ".") && name != ".ci" && name != ".github" || name == "testdata" || name == "vendor" || strings.HasPrefix(name, "bench-")) {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(name, suffix) {
			rel, err := filepath.Rel(top, path)
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// sources returns all Go files.
func sources(t *testing.T) (all []source) {
	t.Helper()
	fset := token.NewFileSet()
	for _, name := range files(t, ".go") {
		b, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(fset, name, b, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{name, filepath.ToSlash(filepath.Dir(name)), string(b), f, strings.Split(string(b), "\n"), fset})
	}
	return all
}
