package lint

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
	"testing"
)

// A loader type-checks packages of the module from their sources. Packages from
// elsewhere are missing, so that what depends on their types stays unknown: that
// needs nothing compiled.
type loader struct {
	fset    *token.FileSet
	files   map[string][]*ast.File // by folder, except tests
	checked map[string]*types.Package
}

func newLoader(t *testing.T) *loader {
	t.Helper()
	l := &loader{files: map[string][]*ast.File{}, checked: map[string]*types.Package{}}
	for _, s := range sources(t) {
		if !s.test() && !constrained.MatchString(s.path) {
			l.fset = s.fset
			l.files[s.pkg] = append(l.files[s.pkg], s.ast)
		}
	}
	return l
}

// Import implements [types.Importer].
func (l *loader) Import(name string) (*types.Package, error) {
	pkg, ours := strings.CutPrefix(name, module+"/")
	if !ours {
		return nil, errors.New("not of this module")
	}
	p := l.checked[pkg]
	if p == nil {
		p = l.check(pkg, l.files[pkg], nil)
		l.checked[pkg] = p
	}
	return p, nil
}

// check type-checks files as those of the package in a folder.
func (l *loader) check(pkg string, files []*ast.File, info *types.Info) *types.Package {
	conf := types.Config{Importer: l, Error: func(error) {}}
	p, _ := conf.Check(module+"/"+pkg, l.fset, files, info)
	return p
}
