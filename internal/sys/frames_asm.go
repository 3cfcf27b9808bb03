//go:build gc && (amd64 || arm64)

package sys

// returnPCs follows the frame pointers of the calling goroutine. Every address
// that it reads lies within the goroutine's stack, whatever the frame pointers
// say, and the stack does not move meanwhile: a function in assembly is never
// preempted.
//
//go:noescape
func returnPCs(pcs *ReturnPCs) (n int, whole bool)
