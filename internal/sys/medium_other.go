//go:build !linux

package sys

func readDepth(uintptr) (depth, most int) { return defaultDepth, defaultDepth }
