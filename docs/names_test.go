package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// packages are those whose names the documents may mention.
var packages = map[string]string{
	"core": "../core", "lock": "../lock", "flush": "../flush", "async": "../async", "asynctest": "../async/asynctest",
}

// exported has what the packages export: "core", "core.File", "core.File.View", and the latter two without the
// package as well.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for pkg, dir := range packages {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		add := func(name string) {
			names[name] = true
			names[pkg+"."+name] = true
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				declared(d, add)
			}
		}
	}
	return names
}

// declared calls add for each name that a declaration makes; a type's methods and fields come as Type.Name.
func declared(d ast.Decl, add func(string)) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			add(d.Name.Name)
			return
		}
		ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && (len(id.Name) > 1 || !id.IsExported()) {
				for _, typ := range promoters(id.Name) {
					add(typ + "." + d.Name.Name)
				}
			}
			return true
		})
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					add(n.Name)
				}
			case *ast.TypeSpec:
				add(spec.Name.Name)
				members(spec, add)
			}
		}
	}
}

// promoters are the exported types that have the methods of a type: itself, or those that embed it.
func promoters(name string) []string {
	if name == "cursor" {
		return []string{"Reader", "Writer"}
	}
	return []string{name}
}

func members(spec *ast.TypeSpec, add func(string)) {
	var fields *ast.FieldList
	switch typ := spec.Type.(type) {
	case *ast.StructType:
		fields = typ.Fields
	case *ast.InterfaceType:
		fields = typ.Methods
	default:
		return
	}
	for _, f := range fields.List {
		for _, n := range f.Names {
			add(spec.Name.Name + "." + n.Name)
		}
	}
}

var (
	span = regexp.MustCompile("`[^`\n]+`")
	// A name as it is written in text, of a package or of a type that is the package's.
	name = regexp.MustCompile(`(^|[^\w./])((?:core|lock|flush|async|asynctest)\.[A-Z]\w*(?:\.[A-Z]\w*)?|[A-Z]\w*\.[A-Z]\w*)`)
)

// What stands in code spans as a name of this module is one. Names of others are told by their types: those
// that this module does not have.
func TestNamesInTheDocuments(t *testing.T) {
	if _, err := os.Stat("../go.mod"); err != nil {
		t.Skipf("needs the sources, which are not there: %v", err)
	}
	known := exported(t)
	for _, doc := range append(documents(t), "../ARCHITECTURE.md", "../CHANGELOG.md") {
		b, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		inside := false // a fenced block
		for i, line := range strings.Split(string(b), "\n") {
			if strings.HasPrefix(line, "```") {
				inside = !inside
			}
			if inside {
				continue
			}
			for _, s := range span.FindAllString(line, -1) {
				for _, m := range name.FindAllStringSubmatch(strings.Trim(s, "`"), -1) {
					first, _, _ := strings.Cut(m[2], ".")
					if packages[first] == "" && !known[first] {
						continue // somebody else's
					}
					if !known[m[2]] {
						t.Errorf("%s:%d: there is no %s", doc, i+1, m[2])
					}
				}
			}
		}
	}
}
