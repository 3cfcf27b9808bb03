package sys

// ReturnPCs are addresses that functions return to.
type ReturnPCs [32]uintptr

// Fill stores the addresses that the functions of the calling goroutine return
// to, innermost first, and returns their number. They identify the stack: where
// they are equal, so is all that [runtime.Callers] returns, which takes several
// times as long and is needed to name the functions. The first ones belong to
// Fill itself.
//
// It reports false for whole when a frame pointer leads nowhere, as above a
// frame of C: then the addresses identify nothing.
func (pcs *ReturnPCs) Fill() (n int, whole bool) { return returnPCs(pcs) }
