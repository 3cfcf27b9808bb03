//go:build !linux

package sys

import (
	"errors"
	"os"
)

// sync(2) promises elsewhere that writing has begun, not that it has ended.
func syncAll(*os.File) error { return errors.ErrUnsupported }

func pathOf(*os.File) (string, error) { return "", errors.ErrUnsupported }
