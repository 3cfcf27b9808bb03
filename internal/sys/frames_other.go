//go:build !gc || !(amd64 || arm64)

package sys

import "runtime"

func returnPCs(pcs *ReturnPCs) (n int, whole bool) {
	const skip = 3 // Callers, returnPCs and its forwarder
	return runtime.Callers(skip, pcs[:]), true
}
