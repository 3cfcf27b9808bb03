//go:build !unix

package sys

import (
	"os"
	"syscall"
)

var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM}

func exitStatus(p *os.ProcessState) int { return p.ExitCode() }
