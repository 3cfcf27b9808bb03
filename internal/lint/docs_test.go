package lint

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// public are the packages for users of the module.
var public = map[string]bool{"core": true, "lock": true, "flush": true, "async": true, "async/antspool": true, "async/asynctest": true}

// Every exported identifier is documented, and every exported type has an
// example.
func TestExportedIsDocumented(t *testing.T) {
	examples := map[string]string{} // by package: the names of its examples
	all := sources(t)
	for _, s := range all {
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test() && strings.HasPrefix(f.Name.Name, "Example") {
				examples[s.pkg] += f.Name.Name + " "
			}
		}
	}
	for _, s := range all {
		if s.test() || !public[s.pkg] {
			continue
		}
		for _, d := range s.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !obvious[d.Name.Name] {
					t.Errorf("%s: %s has no doc comment", s.path, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					documented(t, s, d, spec)
					if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && s.pkg != "async/asynctest" &&
						!regexp.MustCompile(`Example`+ts.Name.Name+`(_| )`).MatchString(examples[s.pkg]) {
						t.Errorf("%s: type %s has no Example", s.path, ts.Name.Name)
					}
				}
			}
		}
	}
}

// obvious are methods that need no comment.
var obvious = map[string]bool{"Error": true, "String": true}

func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.IsExported() && len(id.Name) > 1 {
			exported = true
		}
		return true
	})
	return exported
}

func documented(t *testing.T, s source, d *ast.GenDecl, spec ast.Spec) {
	t.Helper()
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
			t.Errorf("%s: type %s has no doc comment", s.path, spec.Name.Name)
		}
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			if n.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				t.Errorf("%s: %s has no doc comment", s.path, n.Name)
			}
		}
	}
}

var (
	link  = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	local = regexp.MustCompile(`(?:^|[\s"'(])/(work|root|home)/`)
)

// Links of the documents lead to existing files, and no file names a path of the
// machine it was written on.
func TestDocumentsPointToWhatIsThere(t *testing.T) {
	for _, name := range files(t, ".md") {
		b, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root(t), filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			}
		}
		if m := local.FindString(string(b)); m != "" {
			t.Errorf("%s names a path of a machine: %q", name, m)
		}
	}
	for _, s := range sources(t) {
		if m := local.FindString(s.text); m != "" && s.pkg != "internal/lint" {
			t.Errorf("%s names a path of a machine: %q", s.path, m)
		}
	}
}

var testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")

// The tests that the documents name exist.
func TestProofsExist(t *testing.T) {
	there := map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test() && f.Recv == nil {
				there[f.Name.Name] = true
			}
		}
	}
	for _, name := range files(t, ".md") {
		b, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testName.FindAllStringSubmatch(string(b), -1) {
			if !there[m[1]] {
				t.Errorf("%s names %s, which does not exist", name, m[1])
			}
		}
	}
}
