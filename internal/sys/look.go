package sys

import (
	"io/fs"
	"os"
)

// A CacheState is how many bytes of a file's range are in the page cache, and
// what part of these waits to be written or is being written.
type CacheState struct{ Cached, Dirty, Writeback int64 }

// CacheStateOf returns the state of the bytes [off, off+n) of f. It is
// [errors.ErrUnsupported] where the system has no cachestat, or refuses it.
func CacheStateOf(f *os.File, off, n int64) (CacheState, error) { return cacheState(f, off, n) }

// EndSignals are the signals that ask a program to end, a closed terminal among them.
var EndSignals = endSignals

// DropCache asks the system to drop the clean pages of f from the page cache.
// Pages that are mapped or dirty stay. It is [errors.ErrUnsupported] where there
// is no such call.
func DropCache(f *os.File) error { return dropCache(f) }

// Folios counts the folios that the bytes of a mapping lie in, by their size in
// bytes: the units in which the kernel keeps, dirties and writes a file. Only pages
// that this process has touched are seen. It is [errors.ErrUnsupported] except on
// Linux with CAP_SYS_ADMIN and /proc/kpageflags.
func Folios(b []byte) (map[int64]int64, error) { return folios(b) }

// A Holder is a process that holds a file lock, or waits for it.
type Holder struct {
	PID     int    `json:"pid"` // -1 for a lock that belongs to a descriptor
	Command string `json:"command,omitempty"`
	Kind    string `json:"kind"` // FLOCK, POSIX, OFDLCK or LEASE
	Mode    string `json:"mode"` // READ or WRITE
	From    string `json:"from"` // first byte
	To      string `json:"to"`   // last byte, or EOF
	Waiting bool   `json:"waiting,omitempty"`
}

// Holders returns the locks of the file that info describes, as /proc/locks has
// them. It is [errors.ErrUnsupported] on other systems.
func Holders(info fs.FileInfo) ([]Holder, error) { return holders(info) }

// ExitStatus returns the exit status of a process that has ended, as a shell
// has it: 128 and the number of the signal that ended it.
func ExitStatus(p *os.ProcessState) int { return exitStatus(p) }
