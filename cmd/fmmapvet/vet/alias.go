package vet

import (
	"go/ast"
	"go/token"
	"go/types"
)

// aliases finds the expressions that refer to mapped bytes: the bytes
// themselves, parts of them, pointers into them, and variables that hold one of
// these.
type aliases struct {
	info *types.Info
	root func(e ast.Expr) bool   // reports whether e itself yields mapped bytes
	vars map[*types.Var]struct{} // variables that hold an alias
}

// newAliases collects the variables declared within body that are assigned an
// alias somewhere in it. A variable that is also assigned something else is
// left out if exact is set: nothing is known of it at a given point then.
func newAliases(info *types.Info, body ast.Node, root func(e ast.Expr) bool, exact bool) *aliases {
	a := &aliases{info, root, map[*types.Var]struct{}{}}
	other := map[*types.Var]bool{}
	for grown := true; grown; {
		grown = false
		ast.Inspect(body, func(n ast.Node) bool {
			pairs(n, func(lhs, rhs ast.Expr, first bool) {
				v := variable(info, lhs)
				if v == nil || v.Pos() < body.Pos() || v.Pos() > body.End() {
					return
				}
				if _, known := a.vars[v]; known {
					return
				}
				switch {
				case rhs != nil && first && refers(v.Type()) && a.refer(rhs):
					a.vars[v] = struct{}{}
					grown = true
				case rhs != nil:
					other[v] = true
				}
			})
			return true
		})
	}
	if !exact {
		return a
	}
	ast.Inspect(body, func(n ast.Node) bool {
		pairs(n, func(lhs, rhs ast.Expr, first bool) {
			v := variable(info, lhs)
			if _, known := a.vars[v]; known && rhs != nil && !(first && a.refer(rhs)) && !info.Types[rhs].IsNil() {
				delete(a.vars, v)
			}
		})
		return true
	})
	return a
}

// pairs calls visit for each variable that n assigns, with the expression it
// comes from; first is set unless that is a call whose later result it is.
func pairs(n ast.Node, visit func(lhs, rhs ast.Expr, first bool)) {
	var lhs, rhs []ast.Expr
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.ASSIGN && n.Tok != token.DEFINE {
			return
		}
		lhs, rhs = n.Lhs, n.Rhs
	case *ast.ValueSpec:
		for _, id := range n.Names {
			lhs = append(lhs, id)
		}
		rhs = n.Values
	case *ast.RangeStmt: // the elements of a [][]byte refer, those of a []byte do not
		if n.Value != nil {
			visit(n.Value, n.X, true)
		}
		return
	default:
		return
	}
	for i, e := range lhs {
		switch {
		case len(rhs) == len(lhs):
			visit(e, rhs[i], true)
		case len(rhs) == 1:
			visit(e, rhs[0], i == 0)
		}
	}
}

// refers reports whether a value of type t can refer to memory: not a number,
// a boolean, an error or a function.
func refers(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Slice, *types.Pointer, *types.Map:
		return true
	case *types.Basic:
		return u.Kind() == types.UnsafePointer || u.Kind() == types.String
	case *types.Struct:
		for f := range u.Fields() {
			if refers(f.Type()) {
				return true
			}
		}
	case *types.Array:
		return refers(u.Elem())
	}
	return false
}

// refer reports whether the value of e refers to mapped bytes.
func (a *aliases) refer(e ast.Expr) bool {
	if e == nil {
		return false
	}
	if a.root(e) {
		return true
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		return a.refer(e.X)
	case *ast.Ident:
		v, _ := a.info.ObjectOf(e).(*types.Var)
		_, ok := a.vars[v]
		return v != nil && ok
	case *ast.SliceExpr:
		return a.refer(e.X) || a.inPlace(e.X) // x[:] of an array in the map
	case *ast.IndexExpr:
		t := a.info.TypeOf(e)
		return a.refer(e.X) && t != nil && isReference(t) // an element of a [][]byte
	case *ast.StarExpr:
		return false // a copy
	case *ast.UnaryExpr:
		return e.Op == token.AND && (a.inPlace(e.X) || a.refer(e.X))
	case *ast.CompositeLit:
		for _, elt := range e.Elts {
			if kv, ok := elt.(*ast.KeyValueExpr); ok {
				elt = kv.Value
			}
			if a.refer(elt) {
				return true
			}
		}
	case *ast.CallExpr:
		return a.callRefers(e)
	}
	return false
}

// isReference reports whether t is a slice or a pointer.
func isReference(t types.Type) bool {
	switch t.Underlying().(type) {
	case *types.Slice, *types.Pointer:
		return true
	}
	return false
}

// inPlace reports whether e denotes a value that lies in mapped bytes: b[i],
// *p, p.field.
func (a *aliases) inPlace(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.IndexExpr:
		if t := a.info.TypeOf(e.X); t != nil {
			switch t.Underlying().(type) {
			case *types.Slice, *types.Pointer:
				elem := a.info.TypeOf(e)
				return a.refer(e.X) && !isReference(elem)
			case *types.Array:
				return a.inPlace(e.X)
			}
		}
	case *ast.StarExpr:
		return a.refer(e.X)
	case *ast.SelectorExpr:
		if a.inPlace(e.X) {
			return true
		}
		_, pointer := a.info.TypeOf(e.X).(*types.Pointer)
		return pointer && a.refer(e.X) && !refers(a.info.TypeOf(e))
	}
	return false
}

// aliasing names functions of the standard library whose result refers to the
// bytes they are given.
var aliasing = map[string]map[string]bool{
	"bytes": {
		"Clone": false, "NewReader": true, "NewBuffer": true, "Fields": true, "FieldsFunc": true, "Split": true, "SplitN": true,
		"SplitAfter": true, "SplitAfterN": true, "Trim": true, "TrimSpace": true, "TrimLeft": true, "TrimRight": true,
		"TrimPrefix": true, "TrimSuffix": true, "TrimFunc": true, "TrimLeftFunc": true, "TrimRightFunc": true, "Cut": true,
		"CutPrefix": true, "CutSuffix": true,
	},
	"unsafe": {"Slice": true, "String": true, "SliceData": true, "StringData": true, "Pointer": true, "Add": true},
	"slices": {"Clip": true, "Grow": true},
}

// callRefers reports whether the first result of a call refers to mapped bytes.
func (a *aliases) callRefers(call *ast.CallExpr) bool {
	if len(call.Args) == 0 {
		return false
	}
	if t := a.info.Types[call.Fun]; t.IsType() {
		from, to := a.info.TypeOf(call.Args[0]), t.Type
		if from == nil {
			return false
		}
		_, fromString := from.Underlying().(*types.Basic)
		_, toSlice := to.Underlying().(*types.Slice)
		if b, ok := to.Underlying().(*types.Basic); ok && b.Kind() == types.String || fromString && toSlice {
			_, isSlice := from.Underlying().(*types.Slice)
			if isSlice || fromString && toSlice {
				return false // string(b) and []byte(s) copy
			}
		}
		if _, array := to.Underlying().(*types.Array); array {
			return false // [4]byte(b) copies
		}
		return a.refer(call.Args[0])
	}
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok {
		if b, ok := a.info.Uses[id].(*types.Builtin); ok {
			return b.Name() == "append" && a.appendRefers(call)
		}
	}
	if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
		if b, ok := a.info.Uses[sel.Sel].(*types.Builtin); ok {
			return aliasing["unsafe"][b.Name()] && a.refer(call.Args[0])
		}
	}
	c := calleeOf(a.info, call)
	return c.recv == "" && aliasing[c.pkg][c.name] && a.refer(call.Args[0])
}

// appendRefers reports whether the result of an append refers to mapped bytes:
// appending the bytes themselves copies them, appending slices of them does not.
func (a *aliases) appendRefers(call *ast.CallExpr) bool {
	if a.refer(call.Args[0]) {
		return true
	}
	for _, arg := range call.Args[1:] {
		if !a.refer(arg) {
			continue
		}
		if !call.Ellipsis.IsValid() {
			return true
		}
		if s, ok := a.info.TypeOf(arg).Underlying().(*types.Slice); ok && refers(s.Elem()) {
			return true
		}
	}
	return false
}
