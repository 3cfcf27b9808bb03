//go:build !linux

package sys

import "errors"

func canLoad(uintptr) bool { return false }

func loadAt(uintptr, []byte, int64) (int, error) { return 0, errors.ErrUnsupported }

func loadNow(uintptr, []byte, int64) (int, bool, error) { return 0, false, errors.ErrUnsupported }
