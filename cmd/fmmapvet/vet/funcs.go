package vet

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
	"golang.org/x/tools/go/cfg"
)

// function is a declared function or a function literal with its control flow.
type function struct {
	node    ast.Node // FuncDecl or FuncLit
	body    *ast.BlockStmt
	graph   *cfg.CFG
	results *types.Tuple
	isMain  bool // main.main, whose return ends the process
}

// flowRequires are the analyzers that functions needs the results of.
var flowRequires = []*analysis.Analyzer{inspect.Analyzer, flow}

// pinRequires are those that following a pin needs.
var pinRequires = append([]*analysis.Analyzer{givers}, flowRequires...)

// functions calls visit for each function of the package that has a body.
func functions(pass *analysis.Pass, visit func(function)) {
	in := pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)
	graphs := pass.ResultOf[flow].(graphs)
	in.Preorder([]ast.Node{(*ast.FuncDecl)(nil), (*ast.FuncLit)(nil)}, func(n ast.Node) {
		f := function{node: n}
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Body == nil {
				return
			}
			f.body, f.graph = n.Body, graphs[n]
			if fn, ok := pass.TypesInfo.Defs[n.Name].(*types.Func); ok {
				f.results = fn.Signature().Results()
			}
			f.isMain = n.Recv == nil && n.Name.Name == "main" && pass.Pkg.Name() == "main"
		case *ast.FuncLit:
			f.body, f.graph = n.Body, graphs[n]
			if sig, ok := pass.TypesInfo.TypeOf(n).(*types.Signature); ok {
				f.results = sig.Results()
			}
		}
		if f.graph != nil {
			visit(f)
		}
	})
}

// shallow calls visit for each node of body with the nodes that enclose it,
// except those inside a nested function literal.
func shallow(body ast.Node, visit func(n ast.Node, stack []ast.Node) bool) {
	ast.PreorderStack(body, nil, func(n ast.Node, stack []ast.Node) bool {
		if _, nested := n.(*ast.FuncLit); nested && n != body {
			return false
		}
		return visit(n, stack)
	})
}

// assignment is a statement that assigns the results of one call to variables.
type assignment struct {
	stmt ast.Node // AssignStmt or ValueSpec, as in the control-flow graph
	call *ast.CallExpr
	lhs  []ast.Expr
}

// asAssignment returns n as an assignment from a single call.
func asAssignment(n ast.Node) (a assignment, ok bool) {
	var rhs []ast.Expr
	switch n := n.(type) {
	case *ast.AssignStmt:
		rhs, a.lhs = n.Rhs, n.Lhs
	case *ast.ValueSpec:
		rhs = n.Values
		for _, id := range n.Names {
			a.lhs = append(a.lhs, id)
		}
	}
	if len(rhs) != 1 {
		return a, false
	}
	a.stmt = n
	a.call, ok = ast.Unparen(rhs[0]).(*ast.CallExpr)
	return a, ok
}

// place finds a node in the graph: its block and its index there.
func place(g *cfg.CFG, n ast.Node) (*cfg.Block, int) {
	for _, b := range g.Blocks {
		for i, m := range b.Nodes {
			if m == n {
				return b, i
			}
		}
	}
	return nil, 0
}

// assigns reports whether n assigns to v.
func assigns(info *types.Info, n ast.Node, v *types.Var) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for _, e := range n.Lhs {
			if variable(info, e) == v {
				return true
			}
		}
	case *ast.ValueSpec:
		for _, id := range n.Names {
			if info.Defs[id] == v {
				return true
			}
		}
	}
	return false
}
