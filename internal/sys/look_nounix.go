//go:build !unix

package sys

import "os"

func exitStatus(p *os.ProcessState) int { return p.ExitCode() }
