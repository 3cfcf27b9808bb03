package vet

import (
	"go/ast"
	"go/types"
	"reflect"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
	"golang.org/x/tools/go/cfg"
	"golang.org/x/tools/go/types/typeutil"
)

// flow builds the control-flow graphs of a package. The analyzer ctrlflow does
// so too, and proves which functions never return, through all packages: for
// that it reads each imported package from source, which takes most of the time
// of a run. Here a function of another package is judged by its name.
var flow = &analysis.Analyzer{
	Name:       "pinflow",
	Doc:        "build control-flow graphs",
	Requires:   []*analysis.Analyzer{inspect.Analyzer},
	ResultType: reflect.TypeFor[graphs](),
	Run:        runFlow,
}

// graphs has the control-flow graph of each FuncDecl and FuncLit with a body.
type graphs map[ast.Node]*cfg.CFG

func runFlow(pass *analysis.Pass) (any, error) {
	f := flows{pass.TypesInfo, map[*types.Func]*ast.FuncDecl{}, graphs{}}
	var bodies []ast.Node
	in := pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)
	in.Preorder([]ast.Node{(*ast.FuncDecl)(nil), (*ast.FuncLit)(nil)}, func(n ast.Node) {
		if decl, ok := n.(*ast.FuncDecl); ok {
			if fn, ok := pass.TypesInfo.Defs[decl.Name].(*types.Func); ok && decl.Body != nil {
				f.decls[fn] = decl
			}
		}
		bodies = append(bodies, n)
	})
	for _, n := range bodies {
		f.graph(n)
	}
	return f.graphs, nil
}

type flows struct {
	info   *types.Info
	decls  map[*types.Func]*ast.FuncDecl
	graphs graphs // nil for one that is being built
}

// graph returns the graph of a function, nil if it has none, or none yet.
func (f flows) graph(n ast.Node) *cfg.CFG {
	if g, known := f.graphs[n]; known {
		return g
	}
	var body *ast.BlockStmt
	switch n := n.(type) {
	case *ast.FuncDecl:
		body = n.Body
	case *ast.FuncLit:
		body = n.Body
	}
	if body == nil {
		return nil
	}
	f.graphs[n] = nil // functions that call each other
	f.graphs[n] = cfg.New(body, f.mayReturn)
	return f.graphs[n]
}

// mayReturn reports whether a call may return to its caller.
func (f flows) mayReturn(call *ast.CallExpr) bool {
	switch fn := typeutil.Callee(f.info, call).(type) {
	case *types.Builtin:
		return fn.Name() != "panic"
	case *types.Func:
		if decl := f.decls[fn.Origin()]; decl != nil {
			g := f.graph(decl)
			return g == nil || !g.NoReturn()
		}
		return !neverReturns(fn)
	}
	return true
}

// neverReturns reports whether fn, of another package or of an interface, is
// named as those are that end the process, the goroutine or the test.
func neverReturns(fn *types.Func) bool {
	switch name := fn.Name(); name {
	case "Exit", "Exitf", "Exitln", "ExitProcess", "ExitThread", "Goexit", "FailNow", "Panic", "Panicf", "Panicln", "Panicw":
		return true
	case "Skip", "Skipf", "SkipNow":
		return fn.Pkg() != nil && fn.Pkg().Path() == "testing"
	default:
		return strings.HasPrefix(name, "Fatal")
	}
}
