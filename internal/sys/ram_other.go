//go:build !linux

package sys

func memory() int64 { return unknownMemory }
