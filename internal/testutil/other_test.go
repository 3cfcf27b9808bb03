//go:build !linux

package testutil_test

func syncs() error        { return nil }
func mountAndWait() error { return nil }
