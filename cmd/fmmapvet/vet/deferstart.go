package vet

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
)

// DeferStart reports defer statements that start work at once.
var DeferStart = &analysis.Analyzer{
	Name: "deferstart",
	Doc: `report defer statements that start the work at once

A defer statement evaluates all but the last call where it stands: in

	defer f.StartClose(ctx).Wait()

the file is closed at once, and only the wait is deferred. Defer a function
that does both, or f.Close.`,
	Requires: []*analysis.Analyzer{inspect.Analyzer},
	Run:      runDeferStart,
}

func runDeferStart(pass *analysis.Pass) (any, error) {
	in := pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)
	in.Preorder([]ast.Node{(*ast.DeferStmt)(nil)}, func(n ast.Node) {
		deferred := n.(*ast.DeferStmt).Call
		for _, e := range append([]ast.Expr{deferred.Fun}, deferred.Args...) {
			ast.Inspect(e, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncLit:
					return false // runs when the function returns
				case *ast.CallExpr:
					if c := calleeOf(pass.TypesInfo, n); c.ours() && startsWork(pass.TypesInfo.TypeOf(n)) {
						pass.ReportRangef(n, "%s starts here, where the defer statement is evaluated; only the outer call is deferred", c.name)
						return false
					}
				}
				return true
			})
		}
	})
	return nil, nil
}

// startsWork reports whether a call that returns t has started work: t is a
// future or a batch.
func startsWork(t types.Type) bool {
	return t != nil && (isNamed(t, asyncPkg, "Future") || isNamed(t, flushPkg, "Batch"))
}
