//go:build !linux

package testutil

import "testing"

func loopDisk(t testing.TB, _ int64, _ string) string {
	t.Helper()
	t.Skip("no loop devices on this platform")
	return ""
}

func cold(t testing.TB, _ string) {
	t.Helper()
	t.Skip("no call here that takes a file out of the page cache")
}

func dropCaches(t testing.TB) {
	t.Helper()
	t.Skip("no call here that empties the page cache")
}
