package vet

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/cfg"
)

// PinRelease reports pins that are not released on some path.
var PinRelease = &analysis.Analyzer{
	Name: "pinrelease",
	Doc: `report pins that are not released on all paths

A pin that is never released keeps Close, and a Truncate that cuts its bytes
off, waiting for ever. The analyzer follows each pin from the call that took it
to every return of the function, except on paths where the call's error is not
nil. A pin that is returned, stored, sent, passed to another function or released
by a function literal is taken to be released there. A pin that is assigned to
the blank identifier is lost where the error may be nil. In a test, a path ends
where the test fails or asserts that there is an error. The end of a program
releases what main holds, so a main that closes no file, neither itself nor in
what it defers, may keep its pins.`,
	Requires: pinRequires,
	Run:      runPinRelease,
}

func runPinRelease(pass *analysis.Pass) (any, error) {
	result := pass.ResultOf[givers].(pinResults)
	functions(pass, func(f function) {
		if f.isMain && !closesFile(pass, f.body) {
			return
		}
		shallow(f.body, func(n ast.Node, _ []ast.Node) bool {
			if a, ok := asAssignment(n); ok {
				checkTaken(pass, f, a)
			}
			if e, ok := n.(*ast.ExprStmt); ok {
				if call, ok := ast.Unparen(e.X).(*ast.CallExpr); ok && result(call) >= 0 {
					pass.ReportRangef(call, "the pin is discarded: nothing can release it")
				}
			}
			return true
		})
	})
	return nil, nil
}

// closesFile reports whether body closes a file: in its own statements, in a
// function literal, or in a function of the package that it defers.
func closesFile(pass *analysis.Pass, body ast.Node) bool {
	deferred := map[types.Object]bool{}
	if namesClose(pass.TypesInfo, body, deferred) {
		return true
	}
	for _, file := range pass.Files {
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && deferred[pass.TypesInfo.Defs[fn.Name]] && namesClose(pass.TypesInfo, fn, nil) {
				return true
			}
		}
	}
	return false
}

// namesClose reports whether n calls a method that closes a file, or hands it to
// another function as in context.AfterFunc(ctx, f.Close). It adds to deferred the
// functions whose call n defers.
func namesClose(info *types.Info, n ast.Node, deferred map[types.Object]bool) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.DeferStmt:
			if fn := calledFunc(info, n.Call); fn != nil && deferred != nil {
				deferred[fn] = true
			}
		case *ast.SelectorExpr:
			switch n.Sel.Name {
			case "Close", "CloseContext", "CloseTruncate", "StartClose":
				t := info.TypeOf(n.X)
				found = found || t != nil && isFile(t)
			}
		}
		return !found
	})
	return found
}

// checkTaken follows the pin that a takes, if it takes one.
func checkTaken(pass *analysis.Pass, f function, a assignment) {
	i := pass.ResultOf[givers].(pinResults)(a.call)
	if i < 0 || i >= len(a.lhs) {
		return
	}
	id, ok := ast.Unparen(a.lhs[i]).(*ast.Ident)
	if !ok {
		return // a field or an element: stored
	}
	s := newLeakSearch(pass, f, a, i)
	if id.Name == "_" {
		if s.leak() != nil {
			pass.ReportRangef(id, "the pin is discarded: nothing can release it")
		}
		return
	}
	if s.pin == nil || s.pin.Pos() < f.node.Pos() || s.pin.Pos() > f.node.End() {
		return // of an enclosing function, which may release it
	}
	if s.captured() {
		return
	}
	leak := s.leak()
	if leak == nil {
		return
	}
	line := pass.Fset.Position(a.stmt.Pos()).Line
	pass.ReportRangef(a.stmt, "the pin %s is not released on all paths", id.Name)
	if leak.Pos() == f.body.Rbrace || leak == a.stmt {
		return // the end of the body, or the next round of a loop
	}
	pass.ReportRangef(leak, "the pin %s, taken on line %d, may not be released here", id.Name, line)
}

// leakSearch looks for a path from taking a pin to a return, or to taking
// another one with the same variable, on which the pin is not released.
type leakSearch struct {
	info *types.Info
	f    function
	pin  *types.Var // nil for the blank identifier
	// outcomes are the error, the ok or both that came with the pin.
	outcomes []*types.Var
	taken    assignment
	example  bool // f is an example of a test file
	seen     map[leakState]bool
}

// newLeakSearch returns a search for the pin that is the i-th result of a.
func newLeakSearch(pass *analysis.Pass, f function, a assignment, i int) *leakSearch {
	return &leakSearch{
		info: pass.TypesInfo, f: f, pin: variable(pass.TypesInfo, a.lhs[i]), outcomes: outcomes(pass.TypesInfo, a, i), taken: a,
		example: isExample(pass, f), seen: map[leakState]bool{},
	}
}

// leak returns where the pin is lost, nil for nowhere.
func (s *leakSearch) leak() ast.Node {
	b, at := place(s.f.graph, s.taken.stmt)
	if b == nil {
		return nil // unreachable
	}
	return s.from(b, at+1, true)
}

// captured reports whether a function literal written before the pin is taken
// releases whatever the variable holds when it runs, or hands that on.
func (s *leakSearch) captured() (found bool) {
	ast.Inspect(s.f.body, func(n ast.Node) bool {
		if lit, ok := n.(*ast.FuncLit); ok && lit.End() < s.taken.stmt.Pos() {
			found = found || s.handsOver(lit)
		}
		return !found
	})
	return found
}

type leakState struct {
	block *cfg.Block
	fresh bool // outcomes still have the values that came with the pin
}

// from searches from the i-th node of b on, and returns where the pin is lost.
func (s *leakSearch) from(b *cfg.Block, i int, fresh bool) ast.Node {
	for _, n := range b.Nodes[i:] {
		if s.handsOver(n) {
			return nil // also where p, _, err = p.Extend(n) comes round again
		}
		if n == s.taken.stmt {
			return n
		}
		if s.pin != nil && assigns(s.info, n, s.pin) {
			return n
		}
		errs := s.outcomes
		if !fresh {
			errs = nil
		}
		if ends(s.info, n, errs, s.example) {
			return nil
		}
		fresh = fresh && !s.reassigns(n)
	}
	if ret := b.Return(); ret != nil {
		return ret
	}
	for i, next := range b.Succs {
		if len(b.Succs) == 2 && len(b.Nodes) > 0 {
			cond, ok := b.Nodes[len(b.Nodes)-1].(ast.Expr)
			if ok && s.absent(cond, i == 0, fresh) {
				continue
			}
		}
		state := leakState{next, fresh}
		if s.seen[state] {
			continue
		}
		s.seen[state] = true
		if lost := s.from(next, 0, fresh); lost != nil {
			return lost
		}
	}
	return nil
}

// absent reports whether there is no pin to be released when cond has the
// given value.
func (s *leakSearch) absent(cond ast.Expr, value, fresh bool) bool {
	switch e := ast.Unparen(cond).(type) {
	case *ast.Ident: // ok
		return fresh && !value && s.isOutcome(e)
	case *ast.UnaryExpr:
		return e.Op == token.NOT && s.absent(e.X, !value, fresh)
	case *ast.CallExpr: // errors.Is(err, ...)
		c := calleeOf(s.info, e)
		return fresh && value && c.pkg == "errors" && len(e.Args) > 0 && s.isOutcome(e.Args[0])
	case *ast.BinaryExpr:
		x, y := s.absent(e.X, value, fresh), s.absent(e.Y, value, fresh)
		switch e.Op {
		case token.LAND:
			return value && (x || y) || !value && x && y
		case token.LOR:
			return !value && (x || y) || value && x && y
		case token.EQL, token.NEQ:
			equal := (e.Op == token.EQL) == value
			for _, pair := range [][2]ast.Expr{{e.X, e.Y}, {e.Y, e.X}} {
				if !s.info.Types[pair[1]].IsNil() {
					if fresh && equal && s.isOutcome(pair[0]) {
						return true // err == io.EOF
					}
					continue
				}
				if fresh && !equal && s.isOutcome(pair[0]) || equal && s.pin != nil && variable(s.info, pair[0]) == s.pin {
					return true
				}
			}
		}
	}
	return false
}

// isOutcome reports whether e is a variable that came with the pin.
func (s *leakSearch) isOutcome(e ast.Expr) bool {
	return slices.Contains(s.outcomes, variable(s.info, e))
}

// reassigns reports whether n gives a variable that came with the pin another
// value.
func (s *leakSearch) reassigns(n ast.Node) bool {
	return slices.ContainsFunc(s.outcomes, func(v *types.Var) bool { return assigns(s.info, n, v) })
}

// outcomes returns the variables that a assigns beside the pin, its i-th.
func outcomes(info *types.Info, a assignment, i int) (vars []*types.Var) {
	for j, e := range a.lhs {
		if v := variable(info, e); j != i && v != nil {
			vars = append(vars, v)
		}
	}
	return vars
}

// handsOver reports whether n releases the pin, defers that, or makes it the
// business of another function or variable.
func (s *leakSearch) handsOver(n ast.Node) bool {
	if s.pin == nil {
		return false
	}
	found := false
	ast.PreorderStack(n, nil, func(n ast.Node, stack []ast.Node) bool {
		switch n := n.(type) {
		case *ast.ReturnStmt:
			found = found || len(n.Results) == 0 && s.isResult()
		case *ast.Ident:
			found = found || s.info.Uses[n] == s.pin && !borrows(s.info, n, stack)
		}
		return !found
	})
	return found
}

// isResult reports whether the pin is a named result of the function.
func (s *leakSearch) isResult() bool {
	if s.f.results == nil {
		return false
	}
	for v := range s.f.results.Variables() {
		if v == s.pin {
			return true
		}
	}
	return false
}

// borrows reports whether a use of a pin neither releases it nor hands it on:
// a method other than Release and Extend, a typed access, a comparison, an
// assignment to the variable itself.
func borrows(info *types.Info, id *ast.Ident, stack []ast.Node) bool {
	if len(stack) == 0 {
		return false
	}
	switch parent := stack[len(stack)-1].(type) {
	case *ast.SelectorExpr:
		return parent.X == id && parent.Sel.Name != "Release" && parent.Sel.Name != "Extend"
	case *ast.CallExpr:
		c := calleeOf(info, parent)
		return c.pkg == corePkg && (c.name == "At" || c.name == "Slice")
	case *ast.BinaryExpr:
		return true
	case *ast.AssignStmt:
		for _, e := range parent.Lhs {
			if e == id {
				return true
			}
		}
	}
	return false
}
