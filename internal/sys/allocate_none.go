//go:build aix || dragonfly || netbsd || openbsd || solaris

package sys

import (
	"errors"
	"os"
)

// These systems have no call that allocates, or x/sys does not have it.
func allocate(*os.File, int64, int64) error {
	return errors.ErrUnsupported
}
