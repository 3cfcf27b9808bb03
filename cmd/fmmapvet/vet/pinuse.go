package vet

import (
	"go/ast"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/cfg"
)

// PinUse reports bytes of a pin that are used after its Release or Extend.
var PinUse = &analysis.Analyzer{
	Name: "pinuse",
	Doc: `report bytes of a pin that are used after Release

After Release the bytes may be unmapped, and another mapping may have taken
their address: a use then kills the process, or reads another file. The analyzer
follows each Release to the uses of the pin, and of variables that were assigned
its Bytes, that come after it in the same function. It reports those that cannot
be reached without a Release.

Extend releases the pin, too, and the window may have moved. Bytes from before
are reported after an Extend whose second result, which tells so, is assigned to
the blank identifier.

A test may show that a released pin has no bytes: a comparison of Bytes with nil
is no use, and neither is a call that the test asserts to fail.`,
	Requires: pinRequires,
	Run:      runPinUse,
}

func runPinUse(pass *analysis.Pass) (any, error) {
	functions(pass, func(f function) {
		reported := map[ast.Node]bool{}
		for _, b := range f.graph.Blocks {
			for i, n := range b.Nodes {
				if r := releaseIn(pass.TypesInfo, n); r.pin != nil {
					checkReleased(pass, f, b, i, r, reported)
				}
			}
		}
	})
	return nil, nil
}

// release is what a statement does that ends a pin.
type release struct {
	pin *types.Var // nil: no statement that ends one
	// extends: by Extend, which ends none when its error, err, is not nil.
	extends bool
	err     *types.Var
}

// releaseIn returns what the statement n releases. An Extend that reports whether
// the window has moved is none: the program may go on with the old bytes.
func releaseIn(info *types.Info, n ast.Node) release {
	var call *ast.CallExpr
	var r release
	want := "Release"
	switch n := n.(type) {
	case *ast.ExprStmt:
		call, _ = n.X.(*ast.CallExpr)
	case *ast.AssignStmt:
		if len(n.Lhs) != 3 || len(n.Rhs) != 1 {
			return release{}
		}
		if moved, ok := n.Lhs[1].(*ast.Ident); !ok || moved.Name != "_" {
			return release{}
		}
		call, _ = ast.Unparen(n.Rhs[0]).(*ast.CallExpr)
		r.extends, r.err, want = true, variable(info, n.Lhs[2]), "Extend"
	}
	if call == nil || calleeOf(info, call) != (callee{corePkg, "Pin", want}) {
		return release{}
	}
	if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
		r.pin = variable(info, sel.X)
	}
	return r
}

// failed reports whether the release has not taken place where cond has the
// given value.
func (r release) failed(info *types.Info, cond ast.Expr, value bool) bool {
	if r.err == nil {
		return false
	}
	s := &leakSearch{info: info, pin: r.pin, outcomes: []*types.Var{r.err}}
	return s.absent(cond, value, true)
}

// checkReleased looks for uses of the pin, and of what refers to its bytes,
// after the i-th node of b, which releases it. It reports each use once.
func checkReleased(pass *analysis.Pass, f function, b *cfg.Block, i int, r release, reported map[ast.Node]bool) {
	info, pin := pass.TypesInfo, r.pin
	how := "released"
	if r.extends {
		how = "extended"
	}
	bytes := newAliases(info, f.body, func(e ast.Expr) bool { return yieldsBytes(info, e, pin) }, true)
	line := pass.Fset.Position(b.Nodes[i].Pos()).Line
	for v := range bytes.vars {
		if nested(f.body, v) {
			continue // a variable of a function literal, new in each call
		}
		s := &useSearch{info: info, v: v, after: r, seen: map[*cfg.Block]bool{}, uses: touches}
		if use, in := s.from(b, i+1); use != nil && !reported[use] && s.onlyReleased(f.graph, in, pin) {
			reported[use] = true
			pass.ReportRangef(use, "%s refers to bytes of the pin %s, which was %s on line %d", v.Name(), pin.Name(), how, line)
		}
	}
	if assigns(info, b.Nodes[i], pin) {
		return // it is the extended one
	}
	s := &useSearch{info: info, v: pin, after: r, seen: map[*cfg.Block]bool{}, uses: usesPin, fails: func(n ast.Node) bool {
		return assertedToFail(pass, f, n)
	}}
	if use, in := s.from(b, i+1); use != nil && !reported[use] && s.onlyReleased(f.graph, in, pin) {
		reported[use] = true
		pass.ReportRangef(use, "the pin %s was %s on line %d", pin.Name(), how, line)
	}
}

// nested reports whether v is declared in a function literal within body.
func nested(body ast.Node, v *types.Var) (found bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		if lit, ok := n.(*ast.FuncLit); ok && lit.Pos() <= v.Pos() && v.Pos() < lit.End() {
			found = true
		}
		return !found
	})
	return found
}

// yieldsBytes reports whether e is a call that returns bytes of pin.
func yieldsBytes(info *types.Info, e ast.Expr, pin *types.Var) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	switch c := calleeOf(info, call); {
	case c == callee{corePkg, "Pin", "Bytes"}:
		sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
		return ok && variable(info, sel.X) == pin
	case c.pkg == corePkg && c.recv == "" && (c.name == "At" || c.name == "Slice"):
		return len(call.Args) > 0 && variable(info, call.Args[0]) == pin
	}
	return false
}

// useSearch looks for a use of v before v is assigned again, where a release
// has taken place.
type useSearch struct {
	info  *types.Info
	v     *types.Var
	after release
	uses  func(id *ast.Ident, stack []ast.Node) bool
	fails func(n ast.Node) bool // reports whether a use in n is meant to fail; nil for never
	seen  map[*cfg.Block]bool
}

// from searches from the i-th node of b on. It returns the use and the node of
// the graph that holds it.
func (s *useSearch) from(b *cfg.Block, i int) (use, in ast.Node) {
	for _, n := range b.Nodes[i:] {
		if use := s.useIn(n); use != nil && (s.fails == nil || !s.fails(n)) {
			return use, n
		}
		if s.after.err != nil && ends(s.info, n, []*types.Var{s.after.err}, false) {
			return nil, nil // the Extend was to fail
		}
		if assigns(s.info, n, s.v) {
			return nil, nil
		}
	}
	for i, next := range b.Succs {
		if s.seen[next] || s.ranges(next) {
			continue
		}
		if len(b.Succs) == 2 && len(b.Nodes) > 0 {
			cond, ok := b.Nodes[len(b.Nodes)-1].(ast.Expr)
			if ok && s.after.failed(s.info, cond, i == 0) {
				continue
			}
		}
		s.seen[next] = true
		if use, in := s.from(next, 0); use != nil {
			return use, in
		}
	}
	return nil, nil
}

// ranges reports whether b is the head of a range loop that gives v its next
// value.
func (s *useSearch) ranges(b *cfg.Block) bool {
	loop, ok := b.Stmt.(*ast.RangeStmt)
	return ok && b.Kind == cfg.KindRangeLoop && (variable(s.info, loop.Key) == s.v || variable(s.info, loop.Value) == s.v)
}

// onlyReleased reports whether every path from the start of the function to
// the node in releases pin before.
func (s *useSearch) onlyReleased(g *cfg.CFG, in ast.Node, pin *types.Var) bool {
	seen := map[*cfg.Block]bool{}
	var reach func(b *cfg.Block) bool
	reach = func(b *cfg.Block) bool {
		seen[b] = true
		for _, n := range b.Nodes {
			if n == in {
				return true
			}
			if releaseIn(s.info, n).pin == pin {
				return false
			}
		}
		for _, next := range b.Succs {
			if !seen[next] && reach(next) {
				return true
			}
		}
		return false
	}
	return !reach(g.Blocks[0])
}

func (s *useSearch) useIn(n ast.Node) (use ast.Node) {
	ast.PreorderStack(n, nil, func(n ast.Node, stack []ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && use == nil && s.info.Uses[id] == s.v && s.uses(id, stack) {
			use = id
		}
		return use == nil
	})
	return use
}

// touches reports whether a use of a variable that refers to mapped bytes reads
// or writes these, or hands them on: everything except its length, a comparison
// and an assignment to it.
func touches(id *ast.Ident, stack []ast.Node) bool {
	if len(stack) == 0 {
		return true // the operand of a range clause
	}
	switch parent := stack[len(stack)-1].(type) {
	case *ast.CallExpr:
		fn, ok := ast.Unparen(parent.Fun).(*ast.Ident)
		return !ok || fn.Name != "len" && fn.Name != "cap"
	case *ast.BinaryExpr:
		return false
	case *ast.AssignStmt:
		for _, e := range parent.Lhs {
			if e == id {
				return false
			}
		}
	}
	return true
}

// assertedToFail reports whether n takes a pin from another one with a call that
// a test asserts to fail: if it does not, so does the test.
func assertedToFail(pass *analysis.Pass, f function, n ast.Node) bool {
	a, ok := asAssignment(n)
	if !ok {
		return false
	}
	i := pass.ResultOf[givers].(pinResults)(a.call)
	if i < 0 || i >= len(a.lhs) {
		return false
	}
	s := newLeakSearch(pass, f, a, i)
	s.pin = nil // no path is right because it releases the pin
	return s.leak() == nil
}

// usesPin reports whether a use of a pin needs its bytes.
func usesPin(id *ast.Ident, stack []ast.Node) bool {
	if len(stack) == 0 {
		return false
	}
	sel, ok := stack[len(stack)-1].(*ast.SelectorExpr)
	if !ok || sel.X != id {
		return false
	}
	switch sel.Sel.Name {
	case "Bytes":
		return len(stack) < 3 || !comparison(stack[len(stack)-3])
	case "Do", "Populate", "Resident", "Advise", "Slice", "Extend":
		return true
	}
	return false
}

// comparison reports whether n compares two values.
func comparison(n ast.Node) bool {
	e, ok := n.(*ast.BinaryExpr)
	return ok && (e.Op == token.EQL || e.Op == token.NEQ)
}
