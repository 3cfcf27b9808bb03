//go:build !unix && !windows

package sys

import (
	"errors"
	"os"
)

func duplicate(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }

func openMode(*os.File) (int, error) { return 0, errors.ErrUnsupported }

func deviceSize(*os.File) (int64, error) { return 0, errors.ErrUnsupported }

func newShared(string) (*os.File, error) { return nil, errors.ErrUnsupported }
