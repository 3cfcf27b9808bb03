//go:build unix && !linux && !darwin

package sys

import (
	"errors"
	"os"
)

func punchHole(*os.File, int64, int64) error {
	return errors.ErrUnsupported
}

// readAdvise: madvise(2) does it.
func (m *Mapping) readAdvise(int64, int64) error { return errors.ErrUnsupported }
