//go:build !linux

package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

func cacheState(*os.File, int64, int64) (CacheState, error) {
	return CacheState{}, fmt.Errorf("cachestat: %w", errors.ErrUnsupported)
}

func dropCache(*os.File) error {
	return fmt.Errorf("no call to drop cached pages: %w", errors.ErrUnsupported)
}

func folios([]byte) (map[int64]int64, error) {
	return nil, fmt.Errorf("no /proc/kpageflags: %w", errors.ErrUnsupported)
}

func holders(fs.FileInfo) ([]Holder, error) {
	return nil, fmt.Errorf("no /proc/locks: %w", errors.ErrUnsupported)
}
