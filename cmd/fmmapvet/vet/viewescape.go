package vet

import (
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
)

// ViewEscape reports mapped bytes that leave the callback they were given to.
var ViewEscape = &analysis.Analyzer{
	Name: "viewescape",
	Doc: `report mapped bytes that leave the callback of View, Update or Do

The bytes are valid until the callback returns, and a fault on them becomes an
error in the goroutine that called it alone. The analyzer reports bytes, parts
of them and pointers into them that are assigned to a variable outside of the
callback or sent on a channel; goroutines started in the callback that touch
them; and values that the runtime would read straight from the map, where a
fault cannot be recovered from: a channel send, or an assignment to a Go map
whose key lies there.`,
	Requires: []*analysis.Analyzer{inspect.Analyzer},
	Run:      runViewEscape,
}

func runViewEscape(pass *analysis.Pass) (any, error) {
	in := pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)
	in.Preorder([]ast.Node{(*ast.CallExpr)(nil)}, func(n ast.Node) {
		call := n.(*ast.CallExpr)
		fn, _ := guarded(pass.TypesInfo, call)
		if fn == nil {
			return
		}
		params := fn.Type.Params.List
		if len(params) != 1 || len(params[0].Names) != 1 {
			return // the bytes have no name
		}
		b, ok := pass.TypesInfo.Defs[params[0].Names[0]].(*types.Var)
		if !ok {
			return
		}
		bytes := newAliases(pass.TypesInfo, fn.Body, func(e ast.Expr) bool {
			return variable(pass.TypesInfo, e) == b
		}, false)
		e := &escapes{pass, fn, bytes, calleeOf(pass.TypesInfo, call).name}
		ast.PreorderStack(fn.Body, nil, e.check)
	})
	return nil, nil
}

// escapes looks at one callback.
type escapes struct {
	pass   *analysis.Pass
	fn     *ast.FuncLit
	bytes  *aliases
	method string // View, Update or Do
}

func (e *escapes) check(n ast.Node, _ []ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt, *ast.ValueSpec:
		pairs(n, func(lhs, rhs ast.Expr, first bool) {
			if rhs == nil || !first {
				return
			}
			if e.outside(lhs) && e.bytes.refer(rhs) && refers(e.pass.TypesInfo.TypeOf(lhs)) {
				e.pass.ReportRangef(rhs, "bytes of the map leave the callback of %s, after which they may be unmapped", e.method)
			}
			if key := e.storedKey(lhs); key != nil {
				e.pass.ReportRangef(key, "the key lies in mapped bytes: a fault while the runtime reads it leaves the Go map unusable; copy it first")
			}
		})
	case *ast.SendStmt:
		switch {
		case e.bytes.refer(n.Value):
			e.pass.ReportRangef(n.Value, "bytes of the map are sent out of the callback of %s, after which they may be unmapped", e.method)
		case e.bytes.inPlace(n.Value):
			e.pass.ReportRangef(n.Value, "the value is sent straight from mapped bytes: a fault while the runtime reads it ends the process; copy it to a variable first")
		}
	case *ast.GoStmt:
		e.goroutine(n.Call)
	case *ast.CallExpr:
		if starts(calleeOf(e.pass.TypesInfo, n)) {
			e.goroutine(n)
		}
	}
	return true
}

// outside reports whether assigning to lhs makes the value outlive the
// callback: the variable, or the one that leads to lhs, is declared outside.
func (e *escapes) outside(lhs ast.Expr) bool {
	for {
		switch x := ast.Unparen(lhs).(type) {
		case *ast.Ident:
			v, ok := e.pass.TypesInfo.ObjectOf(x).(*types.Var)
			return ok && x.Name != "_" && (v.Pos() < e.fn.Pos() || v.Pos() > e.fn.End())
		case *ast.SelectorExpr:
			if id, ok := x.X.(*ast.Ident); ok {
				if _, ok := e.pass.TypesInfo.Uses[id].(*types.PkgName); ok {
					return true // a variable of another package
				}
			}
			lhs = x.X
		case *ast.IndexExpr:
			lhs = x.X
		case *ast.StarExpr:
			lhs = x.X
		default:
			return false
		}
	}
}

// storedKey returns the key of the Go map element lhs if it is an array or a
// struct that lies in mapped bytes, or a string that shares them.
func (e *escapes) storedKey(lhs ast.Expr) ast.Expr {
	x, ok := ast.Unparen(lhs).(*ast.IndexExpr)
	if !ok {
		return nil
	}
	info := e.pass.TypesInfo
	if t := info.TypeOf(x.X); t == nil {
		return nil
	} else if _, isMap := t.Underlying().(*types.Map); !isMap {
		return nil
	}
	switch info.TypeOf(x.Index).Underlying().(type) {
	case *types.Array, *types.Struct:
		if e.bytes.inPlace(x.Index) {
			return x.Index
		}
	}
	if e.bytes.refer(x.Index) {
		return x.Index
	}
	return nil
}

// starts reports whether c runs the function it is given in a goroutine.
func starts(c callee) bool {
	switch c {
	case callee{"golang.org/x/sync/errgroup", "Group", "Go"}, callee{"golang.org/x/sync/errgroup", "Group", "TryGo"},
		callee{"sync", "WaitGroup", "Go"}, callee{"time", "", "AfterFunc"}, callee{"context", "", "AfterFunc"},
		callee{asyncPkg, "", "Go"}, callee{asyncPkg, "", "GoWait"}:
		return true
	}
	return false
}

// goroutine reports uses of the bytes in a call that another goroutine runs.
func (e *escapes) goroutine(call *ast.CallExpr) {
	for _, arg := range call.Args {
		if e.bytes.refer(arg) {
			e.report(arg)
			return
		}
	}
	for _, x := range append([]ast.Expr{call.Fun}, call.Args...) {
		fn, ok := ast.Unparen(x).(*ast.FuncLit)
		if !ok {
			continue
		}
		var use ast.Node
		ast.PreorderStack(fn.Body, nil, func(n ast.Node, stack []ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if ok && use == nil && e.bytes.refer(id) && e.pass.TypesInfo.Uses[id] != nil && touches(id, stack) {
				use = id
			}
			return use == nil
		})
		if use != nil {
			e.report(use)
			return
		}
	}
}

func (e *escapes) report(at ast.Node) {
	e.pass.ReportRangef(at, "another goroutine touches the bytes: a fault there is not turned into an error by %s and ends the process", e.method)
}
