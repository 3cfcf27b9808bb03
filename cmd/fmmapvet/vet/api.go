package vet

import (
	"go/ast"
	"go/types"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

const (
	module   = "github.com/fmmap-go/fmmap"
	corePkg  = module + "/core"
	asyncPkg = module + "/async"
	flushPkg = module + "/flush"
	walPkg   = module + "/wal"
)

// callee identifies the function or method that a call calls.
type callee struct {
	pkg, recv, name string // recv is the receiver's type name, "" for a function
}

// calledFunc returns the function that a call calls, nil if it is not known
// statically or is one of the language.
func calledFunc(info *types.Info, call *ast.CallExpr) *types.Func {
	fn, ok := typeutil.Callee(info, call).(*types.Func)
	if !ok || fn.Pkg() == nil {
		return nil
	}
	return fn.Origin()
}

// calleeOf returns the callee of a call that is known statically, else the zero
// callee.
func calleeOf(info *types.Info, call *ast.CallExpr) callee {
	fn := calledFunc(info, call)
	if fn == nil {
		return callee{}
	}
	c := callee{pkg: fn.Pkg().Path(), name: fn.Name()}
	if recv := fn.Signature().Recv(); recv != nil {
		c.recv = typeName(recv.Type())
	}
	return c
}

// typeName returns the name of t, or of what t points to, without its package
// and its type arguments.
func typeName(t types.Type) string {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		t = p.Elem()
	}
	if n, ok := types.Unalias(t).(*types.Named); ok {
		return n.Obj().Name()
	}
	return ""
}

// isNamed reports whether t is *pkg.name or pkg.name.
func isNamed(t types.Type, pkg, name string) bool {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		t = p.Elem()
	}
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == pkg
}

// isPin reports whether t is *core.Pin.
func isPin(t types.Type) bool { return isNamed(t, corePkg, "Pin") }

// isFile reports whether t is a file of core or of async.
func isFile(t types.Type) bool {
	return isNamed(t, corePkg, "File") || isNamed(t, asyncPkg, "File")
}

// guarded reports whether call is a call of View, Update or Do with a function
// literal, and returns the literal and the receiver.
func guarded(info *types.Info, call *ast.CallExpr) (fn *ast.FuncLit, recv ast.Expr) {
	c := calleeOf(info, call)
	ok := c.pkg == corePkg && (c.recv == "File" && (c.name == "View" || c.name == "Update") || c.recv == "Pin" && c.name == "Do")
	if !ok || len(call.Args) != 1 {
		return nil, nil
	}
	fn, _ = ast.Unparen(call.Args[0]).(*ast.FuncLit)
	sel, _ := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if fn == nil || sel == nil {
		return nil, nil
	}
	return fn, sel.X
}

// chain returns the variables and fields that lead to e, for comparing two
// expressions: x.files.log is the three objects. Core, by which an async.File
// returns the core.File below it, is left out, so that both are the same file.
// It returns nil for an expression that has no such chain.
func chain(info *types.Info, e ast.Expr) []types.Object {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		if v, ok := info.ObjectOf(e).(*types.Var); ok {
			return []types.Object{v}
		}
	case *ast.SelectorExpr:
		field, ok := info.ObjectOf(e.Sel).(*types.Var)
		if !ok {
			return nil
		}
		if id, ok := e.X.(*ast.Ident); ok {
			if _, ok := info.ObjectOf(id).(*types.PkgName); ok {
				return []types.Object{field}
			}
		}
		if of := chain(info, e.X); of != nil {
			return append(of, field)
		}
	case *ast.StarExpr:
		return chain(info, e.X)
	case *ast.CallExpr:
		if c := calleeOf(info, e); c == (callee{asyncPkg, "File", "Core"}) {
			return chain(info, e.Fun.(*ast.SelectorExpr).X)
		}
	}
	return nil
}

// variable returns the variable that e names, nil if it is no plain variable.
func variable(info *types.Info, e ast.Expr) *types.Var {
	if e == nil {
		return nil
	}
	id, ok := ast.Unparen(e).(*ast.Ident)
	if !ok {
		return nil
	}
	v, _ := info.ObjectOf(id).(*types.Var)
	return v
}

// ours reports whether c is part of the library.
func (c callee) ours() bool { return c.pkg == module || strings.HasPrefix(c.pkg, module+"/") }
