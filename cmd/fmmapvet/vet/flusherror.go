package vet

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
)

// FlushError reports flushes whose outcome is discarded.
var FlushError = &analysis.Analyzer{
	Name: "flusherror",
	Doc: `report flushes whose outcome is discarded

Bytes are durable once a flush has returned nil, and a failure is reported by
every later flush of the file alike: a flush whose error or future is not looked
at proves nothing. The analyzer reports calls of Flush, FlushRange, Commit,
Barrier and their like whose result is dropped, by a statement, by defer or by
go. Assign to the blank identifier to say that it is meant.`,
	Requires: []*analysis.Analyzer{inspect.Analyzer},
	Run:      runFlushError,
}

func runFlushError(pass *analysis.Pass) (any, error) {
	in := pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)
	nodes := []ast.Node{(*ast.ExprStmt)(nil), (*ast.DeferStmt)(nil), (*ast.GoStmt)(nil)}
	in.Preorder(nodes, func(n ast.Node) {
		var call *ast.CallExpr
		switch n := n.(type) {
		case *ast.ExprStmt:
			call, _ = ast.Unparen(n.X).(*ast.CallExpr)
		case *ast.DeferStmt:
			call = n.Call
		case *ast.GoStmt:
			call = n.Call
		}
		if call == nil {
			return
		}
		if flushed := flushes(pass.TypesInfo, call); flushed != nil {
			pass.ReportRangef(call, "the outcome of %s is discarded, so nothing shows that the bytes are durable", calleeOf(pass.TypesInfo, flushed).name)
		}
	})
	return nil, nil
}

// flushes returns the flush whose outcome call returns: call itself, or what it
// waits for. It returns nil if call is no flush.
func flushes(info *types.Info, call *ast.CallExpr) *ast.CallExpr {
	switch c := calleeOf(info, call); {
	case c.pkg == corePkg && c.recv == "File" && (c.name == "Flush" || c.name == "FlushRange"),
		c.pkg == asyncPkg && c.recv == "File" && (c.name == "Flush" || c.name == "FlushRange"),
		c.pkg == asyncPkg && c.recv == "Background" && c.name == "Barrier",
		c.pkg == flushPkg && c.recv == "Background" && c.name == "Barrier",
		c.pkg == flushPkg && c.recv == "Committer" && (c.name == "Flush" || c.name == "Commit" || c.name == "CommitAll"):
		return call
	case c.recv == "Future" && c.pkg == asyncPkg && (c.name == "Wait" || c.name == "Await" || c.name == "Err"),
		c.recv == "Batch" && c.pkg == flushPkg && (c.name == "Wait" || c.name == "Err"):
		sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
		if !ok {
			return nil
		}
		if inner, ok := ast.Unparen(sel.X).(*ast.CallExpr); ok {
			return flushes(info, inner)
		}
	}
	return nil
}
