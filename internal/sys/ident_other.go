//go:build !unix && !windows

package sys

import (
	"errors"
	"io/fs"
)

func identity(uintptr) (ID, error) { return ID{}, errors.ErrUnsupported }

func identityOf(fs.FileInfo) (ID, bool) { return ID{}, false }
