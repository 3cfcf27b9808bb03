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

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// packages are those whose names the documents may mention.
var packages = map[string]string{
	"core": "../core", "lock": "../lock", "flush": "../flush", "async": "../async",
	"antspool": "../async/antspool", "asynctest": "../async/asynctest", "wal": "../wal",
}

// exported returns the exported names of the packages: "core", "core.File",
// "core.File.View", and the latter two without the package as well.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for pkg, dir := range packages {
		files := parsed(t, dir)
		promoters := embedders(files)
		for _, f := range files {
			for _, d := range f.Decls {
				declared(d, promoters, func(name string) {
					names[name] = true
					names[pkg+"."+name] = true
				})
			}
		}
	}
	return names
}

// parsed returns the files of a package, except its tests.
func parsed(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := testutil.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// embedders returns, for each type, the structs of the package that embed it and
// so have its methods.
func embedders(files []*ast.File) map[string][]string {
	all := map[string][]string{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			typ, ok := spec.Type.(*ast.StructType)
			if !ok {
				return false
			}
			for _, field := range typ.Fields.List {
				embedded := field.Type
				if star, ok := embedded.(*ast.StarExpr); ok {
					embedded = star.X
				}
				if id, ok := embedded.(*ast.Ident); ok && len(field.Names) == 0 {
					all[id.Name] = append(all[id.Name], spec.Name.Name)
				}
			}
			return false
		})
	}
	return all
}

// declared calls add for each name that a declaration makes; a method or field
// comes as Type.Name, also for the types that embed its type.
func declared(d ast.Decl, embedders map[string][]string, add func(string)) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			add(d.Name.Name)
			return
		}
		typ := receiver(d)
		for _, t := range append(embedders[typ], typ) {
			add(t + "." + d.Name.Name)
		}
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

// receiver returns the name of the type that a method belongs to.
func receiver(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

// members calls add for each field of a struct and each method of an interface.
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
	// A name as it is written in text, of a package or of a type that is the
	// package's.
	name = regexp.MustCompile(`(^|[^\w./])((?:core|lock|flush|async|antspool|asynctest|wal)\.[A-Z]\w*(?:\.[A-Z]\w*)?|[A-Z]\w*\.[A-Z]\w*)`)
)

// Every name of this module in a code span exists. A name whose package or type
// this module does not have is taken for one of another module.
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
			if cells := strings.Split(line, "|"); len(cells) == 4 && strings.HasSuffix(doc, "CHANGELOG.md") {
				line = cells[2] // not the old name, in the first column
			}
			for _, s := range span.FindAllString(line, -1) {
				for _, m := range name.FindAllStringSubmatch(strings.Trim(s, "`"), -1) {
					first, _, _ := strings.Cut(m[2], ".")
					if packages[first] == "" && !known[first] {
						continue // of another module
					}
					if !known[m[2]] {
						t.Errorf("%s:%d: there is no %s", doc, i+1, m[2])
					}
				}
			}
		}
	}
}

// The links of the root package lead to names that exist.
func TestRootPackageLinks(t *testing.T) {
	b, err := os.ReadFile("../doc.go")
	if err != nil {
		t.Fatal(err)
	}
	names := exported(t)
	links := regexp.MustCompile(`(?m)^// \[[\w.]+\]: \S+/fmmap/(\w+)#([\w.]+)$`).FindAllStringSubmatch(string(b), -1)
	if len(links) < 20 {
		t.Errorf("found %d links, which is too few", len(links))
	}
	for _, l := range links {
		if name := l[1] + "." + l[2]; !names[name] {
			t.Errorf("a link to %s, which is not there", name)
		}
	}
}
