package vet

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/cfg"
)

// SelfWait reports calls that wait for their own caller.
var SelfWait = &analysis.Analyzer{
	Name: "selfwait",
	Doc: `report calls that wait for a pin or a callback of their own caller

Close, Freeze, and a Truncate to a shorter length wait for the pins and the
callbacks of View and Update that were there before. Inside such a callback, or
while the function itself holds a pin of the file, they wait for ever. A
deferred Close has to run after the deferred Release, so it has to be deferred
before it.`,
	Requires: pinRequires,
	Run:      runSelfWait,
}

func runSelfWait(pass *analysis.Pass) (any, error) {
	info := pass.TypesInfo
	functions(pass, func(f function) {
		shallow(f.body, func(n ast.Node, _ []ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if fn, recv := guarded(info, call); fn != nil {
					checkCallback(pass, fn, calleeOf(info, call), recv)
				}
			}
			if a, ok := asAssignment(n); ok {
				checkHeld(pass, f, a)
			}
			return true
		})
	})
	return nil, nil
}

// waits returns the file that a call waits for to be unused, nil for none.
func waits(info *types.Info, call *ast.CallExpr) (file []types.Object, name string) {
	c := calleeOf(info, call)
	if c.recv != "File" || c.pkg != corePkg && c.pkg != asyncPkg {
		return nil, ""
	}
	switch c.name {
	case "Close", "CloseContext", "CloseTruncate", "Freeze", "FreezeExec":
	case "Truncate":
		if c.pkg == asyncPkg || len(call.Args) != 1 || !shortens(info, call.Args[0]) {
			return nil, ""
		}
	default:
		return nil, ""
	}
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return nil, ""
	}
	return chain(info, sel.X), c.name
}

// shortens reports whether a length is known to be shorter than the file: 0, or
// the length there is less something.
func shortens(info *types.Info, size ast.Expr) bool {
	if v := info.Types[size].Value; v != nil {
		n, ok := constant.Int64Val(constant.ToInt(v))
		return ok && n == 0
	}
	e, ok := ast.Unparen(size).(*ast.BinaryExpr)
	if !ok || e.Op != token.SUB && e.Op != token.QUO && e.Op != token.SHR {
		return false
	}
	x := ast.Unparen(e.X)
	if call, ok := x.(*ast.CallExpr); ok && info.Types[call.Fun].IsType() && len(call.Args) == 1 {
		x = ast.Unparen(call.Args[0]) // int64(len(b))
	}
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok && id.Name == "len" {
		return true
	}
	c := calleeOf(info, call)
	return c.recv == "File" && c.name == "Len"
}

// checkCallback reports what waits inside the callback of View, Update or Do
// on the same file.
func checkCallback(pass *analysis.Pass, fn *ast.FuncLit, in callee, recv ast.Expr) {
	if in.recv == "Pin" {
		return // the file of a pin is found by checkHeld
	}
	file := chain(pass.TypesInfo, recv)
	if file == nil {
		return
	}
	shallow(fn, func(n ast.Node, stack []ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(stack) > 0 && isGo(stack[len(stack)-1]) {
			return true
		}
		if of, name := waits(pass.TypesInfo, call); of != nil && slices.Equal(of, file) {
			pass.ReportRangef(call, "%s waits for the callback of %s that calls it", name, in.name)
		}
		return true
	})
}

func isGo(n ast.Node) bool { _, ok := n.(*ast.GoStmt); return ok }

// checkHeld follows the pin that a takes to calls that wait for its release.
func checkHeld(pass *analysis.Pass, f function, a assignment) {
	info := pass.TypesInfo
	i := pass.ResultOf[givers].(pinResults)(a.call)
	if i < 0 || i >= len(a.lhs) {
		return
	}
	leak, file := newLeakSearch(pass, f, a, i), pinned(info, a.call)
	if leak.pin == nil || file == nil {
		return
	}
	s := &holdSearch{pass: pass, file: file, leakSearch: leak, visited: map[holdState]bool{}}
	if b, at := place(f.graph, a.stmt); b != nil {
		s.from(b, at+1, holdState{fresh: true})
	}
}

// pinned returns the file whose pin a call returns: of f.Pin(...), of
// f.TryLoad(...), or of f.Load(...).Await(...).
func pinned(info *types.Info, call *ast.CallExpr) []types.Object {
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	if t := info.TypeOf(sel.X); t != nil && isFile(t) {
		return chain(info, sel.X)
	}
	if inner, ok := ast.Unparen(sel.X).(*ast.CallExpr); ok {
		return pinned(info, inner)
	}
	return nil
}

// holdSearch follows a pin that is held to calls that wait for it.
type holdSearch struct {
	*leakSearch
	pass    *analysis.Pass
	file    []types.Object
	visited map[holdState]bool
}

type holdState struct {
	block    *cfg.Block
	fresh    bool // the outcomes still belong to the pin
	deferred bool // the Release has been deferred
}

func (s *holdSearch) from(b *cfg.Block, i int, at holdState) {
	for _, n := range b.Nodes[i:] {
		if n == s.taken.stmt {
			return
		}
		deferral, isDefer := n.(*ast.DeferStmt)
		if isDefer {
			if of, name := waits(s.info, deferral.Call); of != nil && at.deferred && slices.Equal(of, s.file) {
				s.pass.ReportRangef(n, "the deferred %s runs before the deferred Release of %s, and waits for it: defer it first", name, s.pin.Name())
			}
			if s.handsOver(n) {
				if !isRelease(s.info, deferral.Call, s.pin) {
					return // a closure that may do anything
				}
				at.deferred = true
			}
			continue
		}
		shallow(n, func(m ast.Node, _ []ast.Node) bool {
			if call, ok := m.(*ast.CallExpr); ok {
				if of, name := waits(s.info, call); of != nil && slices.Equal(of, s.file) {
					s.pass.ReportRangef(call, "%s waits for the pin %s, which this function holds", name, s.pin.Name())
				}
			}
			return true
		})
		if s.handsOver(n) || assigns(s.info, n, s.pin) {
			return
		}
		at.fresh = at.fresh && !s.reassigns(n)
	}
	for i, next := range b.Succs {
		if len(b.Succs) == 2 && len(b.Nodes) > 0 {
			cond, ok := b.Nodes[len(b.Nodes)-1].(ast.Expr)
			if ok && s.absent(cond, i == 0, at.fresh) {
				continue
			}
		}
		at.block = next
		if !s.visited[at] {
			s.visited[at] = true
			s.from(next, 0, at)
		}
	}
}

// isRelease reports whether call is pin.Release().
func isRelease(info *types.Info, call *ast.CallExpr, pin *types.Var) bool {
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Release" && variable(info, sel.X) == pin
}
