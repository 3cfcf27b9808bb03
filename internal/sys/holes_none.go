//go:build !linux && !freebsd

package sys

import (
	"errors"
	"os"
)

func missing(*os.File, int64, int64) ([]Span, bool, error) { return nil, false, errors.ErrUnsupported }

func isHole(*os.File, Span) bool { return false }

// Nothing here gives blocks to holes: what allocates does so behind the end of the file.
func fillHoles(*os.File, int64, int64) error {
	return errors.ErrUnsupported
}
