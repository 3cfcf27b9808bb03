//go:build !unix && !windows

package sys

import "errors"

func identity(uintptr) (ID, error) { return ID{}, errors.ErrUnsupported }
