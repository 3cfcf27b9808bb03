package async

// DropHints makes the file forget which pages it has seen.
func DropHints(f *File) { f.hints.drop() }

// AgeHints makes the file's hints as old as they can become. No other goroutine
// may use the file meanwhile.
func AgeHints(f *File) { f.hints.base = f.hints.base.Add(-hintTicks * hintTick) }
