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
	"sync"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
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
func files(t *testing.T, suffix string) []string {
	t.Helper()
	names, err := filesBelow(root(t), suffix)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func filesBelow(top, suffix string) (names []string, err error) {
	err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
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
	return names, err
}

// sources returns all Go files.
func sources(t *testing.T) []source {
	t.Helper()
	root(t) // or skip
	all, err := parseOnce()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// parseOnce parses all Go files, once for all tests.
var parseOnce = sync.OnceValues(func() (all []source, err error) {
	fset := token.NewFileSet()
	names, err := filesBelow("../..", ".go")
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			return nil, err
		}
		f, err := testutil.ParseFile(fset, name, b, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		all = append(all, source{name, filepath.ToSlash(filepath.Dir(name)), string(b), f, strings.Split(string(b), "\n"), fset})
	}
	return all, err
})
