//go:build unix

package sys

import (
	"os"
	"syscall"
)

func exitStatus(p *os.ProcessState) int {
	if st, ok := p.Sys().(syscall.WaitStatus); ok && st.Signaled() {
		return 128 + int(st.Signal())
	}
	return p.ExitCode()
}
