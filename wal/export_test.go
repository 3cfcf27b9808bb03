package wal

// ObserveFileSync has fn called before a segment file is synced that an earlier
// process has made, until restore is called.
func ObserveFileSync(fn func(name string)) (restore func()) {
	was := syncFile
	syncFile = func(name string) error {
		fn(name)
		return was(name)
	}
	return func() { syncFile = was }
}
