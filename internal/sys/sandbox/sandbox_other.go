//go:build !linux || !(amd64 || arm64)

package sandbox

import "errors"

func install([]refusal) error { return errors.ErrUnsupported }

func names() []string { return nil }
