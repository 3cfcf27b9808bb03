package lint

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// public are the packages for users of the module.
var public = map[string]bool{"core": true, "lock": true, "flush": true, "async": true, "async/antspool": true, "async/asynctest": true, "wal": true}

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
	code  = regexp.MustCompile("(?ms)^```.*?^```$") // where a[T](b) is no link
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
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(string(b), ""), -1) {
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

// The tests that the documents name exist. In ARCHITECTURE.md they are in the
// package of the heading, or in a package below it, and after the word torture in
// internal/torture.
func TestProofsExist(t *testing.T) {
	packages := map[string][]string{} // of each test
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test() && f.Recv == nil {
				packages[f.Name.Name] = append(packages[f.Name.Name], s.pkg)
			}
		}
	}
	for _, name := range files(t, ".md") {
		b, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		heading := ""
		for i, line := range strings.Split(string(b), "\n") {
			if h, ok := strings.CutPrefix(line, "### "); ok {
				heading = h
			}
			tortured := strings.Index(line, "; torture `")
			if strings.Contains(line, "| torture `") {
				tortured = 0
			}
			for _, m := range testName.FindAllStringSubmatchIndex(line, -1) {
				test := line[m[2]:m[3]]
				in := heading
				if tortured >= 0 && m[0] > tortured {
					in = "internal/torture"
				}
				switch pkgs := packages[test]; {
				case len(pkgs) == 0:
					t.Errorf("%s:%d: there is no %s", name, i+1, test)
				case name == "ARCHITECTURE.md" && !slices.ContainsFunc(pkgs, func(pkg string) bool { return within(pkg, in) }):
					t.Errorf("%s:%d: %s is in %s and not in %s", name, i+1, test, pkgs, in)
				}
			}
		}
	}
}

// within reports whether a package belongs to the part of the library that a
// heading of ARCHITECTURE.md names. The scheduler of async is internal/lane.
func within(pkg, heading string) bool {
	return pkg == heading || strings.HasPrefix(pkg, heading+"/") || heading == "async" && pkg == "internal/lane"
}
