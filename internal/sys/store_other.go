//go:build !linux

package sys

import "errors"

func canStore(uintptr) bool { return false }

func storeAt(uintptr, []byte, int64) (int, error) { return 0, errors.ErrUnsupported }

func diskError(error) bool { return false }

func awaitThaw(uintptr) {}
