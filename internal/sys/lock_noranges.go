//go:build !linux && !windows

package sys

import "errors"

type ranges struct{}

// lockRange: darwin has open-file-description locks without a constant for them in
// x/sys, illumos has them for whole files only, and POSIX locks belong to the process
// and vanish when any descriptor of the file is closed.
func (l *FileLock) lockRange(uintptr) error { return errors.ErrUnsupported }
