package lint

import (
	"go/ast"
	"go/types"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every exported name of the library is used: by another package of the module,
// by an example, or in a document, which includes what the page for users of the
// Rust crate promises. What none of them uses is taken out, or gets an example.
func TestEveryExportedNameIsUsed(t *testing.T) {
	l := newLoader(t)
	unused := surface(t, l)
	total := len(unused)
	users := map[string][]*ast.File{} // and external tests apart
	for _, s := range sources(t) {
		name := s.pkg
		switch {
		case nested(s.pkg), !s.test() && constrained.MatchString(s.path):
			continue
		case s.test() && !strings.Contains(s.path, "example"):
			continue
		case s.test():
			name += " " + s.ast.Name.Name
		}
		users[name] = append(users[name], s.ast)
	}
	unknown := map[string]bool{} // methods and fields used of types that the loader lacks
	for name, files := range users {
		path, _, _ := strings.Cut(name, " ")
		info := types.Info{Uses: map[*ast.Ident]types.Object{}}
		l.check(path, files, &info)
		for _, obj := range info.Uses {
			// The package itself was checked anew, so that its own uses are of
			// other objects.
			delete(unused, origin(obj))
		}
		for _, f := range files {
			for id := range selected(f) {
				unknown[id.Name] = unknown[id.Name] || info.Uses[id] == nil
			}
		}
	}
	text := documentText(t)
	for _, obj := range slices.Collect(maps.Keys(unused)) {
		name := unused[obj]
		if mentioned(text, name) || strings.Count(name, ".") == 2 && unknown[obj.Name()] {
			delete(unused, obj)
		}
	}
	for _, name := range slices.Sorted(maps.Values(unused)) {
		t.Errorf("%s is used by no other package, example or document", name)
	}
	if total < 300 {
		t.Errorf("found %d exported names, which is too few", total)
	}
}

// selected returns the identifiers in f that may name a method or a field.
func selected(f *ast.File) iter.Seq[*ast.Ident] {
	return func(yield func(*ast.Ident) bool) {
		for n := range ast.Preorder(f) {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if !yield(n.Sel) {
					return
				}
			case *ast.KeyValueExpr:
				if id, ok := n.Key.(*ast.Ident); ok && !yield(id) {
					return
				}
			}
		}
	}
}

// surface returns the exported names of the public packages: functions, types,
// values, methods and fields.
func surface(t *testing.T, l *loader) map[types.Object]string {
	t.Helper()
	all := map[types.Object]string{}
	for path := range public {
		pkg, err := l.Import(module + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range pkg.Scope().Names() {
			obj := pkg.Scope().Lookup(name)
			if !obj.Exported() {
				continue
			}
			name = pkg.Name() + "." + name
			all[obj] = name
			typ, ok := obj.(*types.TypeName)
			if !ok || typ.IsAlias() {
				continue
			}
			methods := types.NewMethodSet(types.NewPointer(typ.Type()))
			if types.IsInterface(typ.Type()) {
				methods = types.NewMethodSet(typ.Type())
			}
			for m := range methods.Methods() {
				if m.Obj().Exported() && !conventional[m.Obj().Name()] {
					all[origin(m.Obj())] = name + "." + m.Obj().Name()
				}
			}
			if s, ok := typ.Type().Underlying().(*types.Struct); ok {
				for f := range s.Fields() {
					if f.Exported() {
						all[f] = name + "." + f.Name()
					}
				}
			}
		}
	}
	return all
}

// conventional are methods that are called through interfaces: of errors, fmt
// and io, of flush for final errors, and of async for executors.
var conventional = map[string]bool{
	"Error": true, "Is": true, "As": true, "Unwrap": true, "String": true, "Format": true, "GoString": true,
	"WriteByte": true, "Final": true, "Submit": true,
}

// origin returns the generic method or field that obj is an instance of.
func origin(obj types.Object) types.Object {
	switch obj := obj.(type) {
	case *types.Func:
		return obj.Origin()
	case *types.Var:
		return obj.Origin()
	}
	return obj
}

// documentText returns the code in the documents: blocks and spans.
func documentText(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	code := regexp.MustCompile("(?s)```.*?```|`[^`]+`")
	for _, name := range files(t, ".md") {
		if name == "CHANGELOG.md" || strings.HasPrefix(name, "internal/") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		for _, span := range code.FindAllString(string(b), -1) {
			text.WriteString(span + "\n")
		}
	}
	return text.String()
}

// mentioned reports whether code has a name: a method or field after a dot or in
// a literal, anything else with or without its package.
func mentioned(text, name string) bool {
	parts := strings.Split(name, ".")
	last := regexp.QuoteMeta(parts[len(parts)-1])
	if len(parts) == 3 {
		return regexp.MustCompile("\\." + last + "\\b|\\b" + last + ":|`" + last + "`").MatchString(text)
	}
	return regexp.MustCompile(`\b` + last + `\b`).MatchString(text)
}
