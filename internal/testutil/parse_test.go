package testutil

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

func TestParseFile(t *testing.T) {
	const methods = "package p\n\n// M is M.\nfunc (t *T) M[U any](v U) U { return v }\n\nfunc F() {}\n"
	f, err := ParseFile(token.NewFileSet(), "p.go", methods, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range f.Decls {
		names = append(names, d.(*ast.FuncDecl).Name.Name)
	}
	if len(names) != 2 || names[0] != "M" || names[1] != "F" {
		t.Errorf("found %q", names)
	}
	if _, err := ParseFile(token.NewFileSet(), "p.go", methods+"func (", 0); err == nil {
		t.Error("no error in what is no Go")
	}
}
