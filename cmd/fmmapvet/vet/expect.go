package vet

import (
	"go/ast"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// ends reports whether a test that reaches n has failed, or fails there unless
// one of errs is not nil: what it holds on such a path is no mistake. n reports
// a failure to testing, compares an error with one that is expected, or is part
// of an example that prints the error, whose output is compared.
func ends(info *types.Info, n ast.Node, errs []*types.Var, example bool) bool {
	found := false
	shallow(n, func(n ast.Node, _ []ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || found {
			return !found
		}
		c := calleeOf(info, call)
		switch {
		case c.pkg == "testing" && (c.name == "Error" || c.name == "Errorf" || c.name == "Fail"):
			found = true
		case example && c.pkg == "fmt" && strings.HasPrefix(c.name, "Print"):
			found = mentions(info, call, errs)
		default:
			found = expects(info, call, c.name, errs)
		}
		return !found
	})
	return found
}

// expects reports whether call, of the function name, is an assertion that one
// of errs is not nil: it is given a test, the error, and another error to
// compare it with, or is named as the assertions of testify are.
func expects(info *types.Info, call *ast.CallExpr, name string, errs []*types.Var) bool {
	test, got, want := false, false, strings.HasPrefix(name, "Error") || name == "EqualError"
	for _, arg := range call.Args {
		switch v := variable(info, arg); {
		case v != nil && slices.Contains(errs, v):
			got = true
		case isTest(info.TypeOf(arg)):
			test = true
		case isError(info.TypeOf(arg)) && !info.Types[arg].IsNil():
			want = true
		}
	}
	return test && got && want
}

// mentions reports whether one of vars is used within n.
func mentions(info *types.Info, n ast.Node, vars []*types.Var) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			v, _ := info.Uses[id].(*types.Var)
			found = found || v != nil && slices.Contains(vars, v)
		}
		return !found
	})
	return found
}

// isTest reports whether t is a test, a benchmark, a fuzz target or what they
// have in common.
func isTest(t types.Type) bool {
	for _, name := range []string{"T", "B", "F", "TB"} {
		if t != nil && isNamed(t, "testing", name) {
			return true
		}
	}
	return false
}

// isError reports whether t is the type error.
func isError(t types.Type) bool {
	return t != nil && types.Identical(t, types.Universe.Lookup("error").Type())
}

// isExample reports whether f is an example of a test file.
func isExample(pass *analysis.Pass, f function) bool {
	decl, ok := f.node.(*ast.FuncDecl)
	return ok && decl.Recv == nil && strings.HasPrefix(decl.Name.Name, "Example") &&
		strings.HasSuffix(pass.Fset.Position(decl.Pos()).Filename, "_test.go")
}
