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

// ObserveAllocate has fn called before a segment file is made whose blocks are only
// allocated, until restore is called.
func ObserveAllocate(fn func(name string)) (restore func()) {
	was := allocate
	allocate = func(name string, size int64) error {
		fn(name)
		return was(name, size)
	}
	return func() { allocate = was }
}
