//go:build unix && !linux

package sys

import (
	"errors"
	"os"
)

// pathOnly is a flag that only Linux has.
const pathOnly = 0

func deviceSize(*os.File) (int64, error) { return 0, errors.ErrUnsupported }

func newShared(string) (*os.File, error) { return unlinkedFile() }
