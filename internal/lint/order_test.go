package lint

import (
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"slices"
	"testing"
)

// order lists the files of packages that are built in floors, the lowest first.
// What a file calls is declared in itself or in a file before it.
var order = map[string][]string{
	"async": {
		"doc.go",
		// Futures.
		"errors.go", "executor.go", "devicelanes.go", "pool.go", "future.go", "task.go", "combine.go",
		// Files.
		"flusher.go", "depth.go", "pager.go", "around.go", "file.go", "residency.go", "load.go", "stream.go", "reader.go", "target.go", "flush.go", "io.go", "lock.go", "resize.go", "open.go", "filemember.go", "fileset.go",
		"methods_go127.go",
	},
}

// TestNoCallRunsBackUp holds the order of the files: no function, method or
// variable is used in a file before that of its declaration. Types and fields
// may be: the type at the bottom has fields for what the floors above it do.
func TestNoCallRunsBackUp(t *testing.T) {
	l := newLoader(t)
	for pkg, names := range order {
		rank := func(pos token.Pos) int { return slices.Index(names, path.Base(l.fset.Position(pos).Filename)) }
		for _, f := range l.files[pkg] {
			if rank(f.Pos()) < 0 {
				t.Errorf("%s is not in the order of its package", l.fset.Position(f.Pos()).Filename)
			}
		}
		if len(l.files[pkg]) != len(names) {
			t.Errorf("%s has %d files, its order %d", pkg, len(l.files[pkg]), len(names))
		}
		info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
		p := l.check(pkg, l.files[pkg], info)
		calls := 0
		for id, obj := range info.Uses {
			v, isVar := obj.(*types.Var)
			_, isFunc := obj.(*types.Func)
			if obj.Pkg() != p || !isFunc && (!isVar || v.Parent() != p.Scope()) {
				continue
			}
			calls++
			if rank(id.Pos()) < rank(obj.Pos()) {
				t.Errorf("%v uses %s of %s", l.fset.Position(id.Pos()), id.Name, path.Base(l.fset.Position(obj.Pos()).Filename))
			}
		}
		if calls < 100 {
			t.Errorf("%s: only %d uses found", pkg, calls)
		}
	}
}
