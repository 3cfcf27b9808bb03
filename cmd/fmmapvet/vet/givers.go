package vet

import (
	"go/ast"
	"go/types"
	"reflect"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
)

// givers finds the calls that hand out a pin for the caller to release. A
// function of the library that returns a pin does. A function of the analysed
// package does if it returns a pin that it has taken itself and has given to
// nothing else: one that registers the release, with t.Cleanup for instance,
// keeps the pin its own business. Nothing is known of functions of other
// packages: facts about them would have everything read from source that the
// analysed package imports.
var givers = &analysis.Analyzer{
	Name:       "pingivers",
	Doc:        "find functions that return a pin for their caller to release",
	Requires:   []*analysis.Analyzer{inspect.Analyzer},
	ResultType: reflect.TypeFor[pinResults](),
	Run:        runGivers,
}

// pinResults returns the index of the pin among the results of a call that hands
// out a pin to be released, -1 if it hands out none.
type pinResults func(call *ast.CallExpr) int

func runGivers(pass *analysis.Pass) (any, error) {
	gives := map[*types.Func]bool{}
	result := func(call *ast.CallExpr) int {
		fn := calledFunc(pass.TypesInfo, call)
		if fn != nil && (gives[fn] || inLibrary(pass, fn)) {
			return pinIndex(pass.TypesInfo.TypeOf(call))
		}
		return -1
	}
	var open []*ast.FuncDecl // of which nothing is known yet
	in := pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)
	in.Preorder([]ast.Node{(*ast.FuncDecl)(nil)}, func(n ast.Node) {
		decl := n.(*ast.FuncDecl)
		fn, ok := pass.TypesInfo.Defs[decl.Name].(*types.Func)
		if ok && decl.Body != nil && pinIndex(fn.Signature().Results()) >= 0 && !inLibrary(pass, fn) {
			open = append(open, decl)
		}
	})
	for found := true; found; { // a helper may call another one
		found = false
		for i, decl := range open {
			if decl == nil {
				continue
			}
			fn := pass.TypesInfo.Defs[decl.Name].(*types.Func)
			g := giver{pass.TypesInfo, decl, pinIndex(fn.Signature().Results()), fn.Signature().Results(), result}
			if g.gives() {
				gives[fn], open[i], found = true, nil, true
			}
		}
	}
	return pinResults(result), nil
}

// inLibrary reports whether fn is a function of the library itself, and not of
// its tests.
func inLibrary(pass *analysis.Pass, fn *types.Func) bool {
	switch fn.Pkg().Path() {
	case corePkg, asyncPkg, flushPkg, walPkg:
		return !strings.HasSuffix(pass.Fset.Position(fn.Pos()).Filename, "_test.go")
	}
	return false
}

// pinIndex returns the index of the pin in t, the type of one result or the
// tuple of several, -1 if there is none.
func pinIndex(t types.Type) int {
	tuple, ok := t.(*types.Tuple)
	if !ok {
		if t != nil && isPin(t) {
			return 0
		}
		return -1
	}
	for i := range tuple.Len() {
		if isPin(tuple.At(i).Type()) {
			return i
		}
	}
	return -1
}

// giver looks at a function whose i-th result is a pin.
type giver struct {
	info    *types.Info
	decl    *ast.FuncDecl
	i       int
	results *types.Tuple
	result  pinResults
}

// gives reports whether each pin that the function returns is one that it has
// taken and leaves to its caller, and whether there is any.
func (g giver) gives() bool {
	some, all := false, true
	shallow(g.decl.Body, func(n ast.Node, _ []ast.Node) bool {
		ret, ok := n.(*ast.ReturnStmt)
		if !ok {
			return true
		}
		switch {
		case len(ret.Results) == 0:
			some, all = true, all && g.leaves(g.results.At(g.i))
		case len(ret.Results) < g.results.Len():
			call, ok := ast.Unparen(ret.Results[0]).(*ast.CallExpr)
			some, all = true, all && ok && g.result(call) == g.i
		case g.info.Types[ret.Results[g.i]].IsNil():
		default:
			some, all = true, all && g.taken(ret.Results[g.i])
		}
		return true
	})
	return some && all
}

// taken reports whether e, which the function returns, is a pin that it took.
func (g giver) taken(e ast.Expr) bool {
	if call, ok := ast.Unparen(e).(*ast.CallExpr); ok {
		return g.result(call) == 0
	}
	v := variable(g.info, e)
	return v != nil && g.leaves(v)
}

// leaves reports whether v gets its pins from calls that hand them out, and the
// function does nothing with them except to use, release and return them.
func (g giver) leaves(v *types.Var) bool {
	some, all := false, true
	ast.PreorderStack(g.decl, nil, func(n ast.Node, stack []ast.Node) bool {
		if assigns(g.info, n, v) {
			a, ok := asAssignment(n)
			i := g.resultIndex(a)
			taken := ok && i >= 0 && i < len(a.lhs) && variable(g.info, a.lhs[i]) == v
			some, all = some || taken, all && taken
		}
		if id, ok := n.(*ast.Ident); ok && g.info.Uses[id] == v {
			all = all && (borrows(g.info, id, stack) || keeps(id, stack))
		}
		return true
	})
	return some && all
}

func (g giver) resultIndex(a assignment) int {
	if a.call == nil {
		return -1
	}
	return g.result(a.call)
}

// keeps reports whether a use of a pin leaves its release to the function and
// its caller: it is returned, or released or extended where it stands.
func keeps(id *ast.Ident, stack []ast.Node) bool {
	for _, n := range stack {
		switch n.(type) {
		case *ast.FuncLit, *ast.DeferStmt, *ast.GoStmt:
			return false
		}
	}
	switch parent := stack[len(stack)-1].(type) {
	case *ast.ReturnStmt:
		return true
	case *ast.SelectorExpr:
		call, ok := stack[len(stack)-2].(*ast.CallExpr)
		return ok && call.Fun == parent
	}
	return false
}
