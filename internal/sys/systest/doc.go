// Package systest makes the system calls that only tests need: mounting a disk
// in a mount namespace of its own, attaching a loop device, taking a file out
// of the page cache. Package testutil is built on it, and tests use that.
//
// Linux alone has these calls. Elsewhere they return [errors.ErrUnsupported].
package systest

import "os"

// PrivateMounts restarts the program in a mount namespace of its own, from
// which nothing propagates: what the program and its children mount is seen by
// no other process, is copied into no container that starts meanwhile, and goes
// when the last of them ends, in whatever way. It must be called first in main
// or TestMain; process number, arguments and standard files stay. It returns
// nil in the restarted program, and an error where the program could not be
// restarted and goes on as it was.
func PrivateMounts() error { return privateMounts() }

// Mount mounts a file system without access times. The options are those of its
// type, in one string with commas.
func Mount(source, dir, fstype, options string) error {
	return mount(source, dir, fstype, options)
}

// The causes of errors of Mount and Unmount that tests tell from others.
var (
	ErrNoSuchType = errNoSuchType // the kernel does not know the file system
	ErrBusy       = errBusy       // the file system is in use
)

// Unmount unmounts what is mounted at dir. Without detach it fails with
// [ErrBusy] when that is in use; with detach it takes effect after the last use.
func Unmount(dir string, detach bool) error { return unmount(dir, detach) }

// AttachLoop attaches the image file to a loop device that was free, and
// returns the device. It is detached by the kernel when it is closed and no
// longer mounted.
func AttachLoop(image string) (*os.File, error) { return attachLoop(image) }

// Evict takes the pages of the file that are clean and not mapped out of the
// page cache.
func Evict(f *os.File) error { return evict(f) }

// ShutDown ends the file system of an open file, xfs or ext4, as an error of its
// log does: from then on it neither reads nor writes.
func ShutDown(f *os.File) error { return shutDown(f) }

// SetAppend sets O_APPEND for an open file, and so for all that share it.
func SetAppend(f *os.File) error { return setAppend(f) }

// FileSystem returns the type of the file system that holds the path, as
// mount(8) calls it: "tmpfs", "overlay". A type that no test asks for is
// "other".
func FileSystem(path string) (string, error) { return fileSystem(path) }

// Descriptors returns how many files the process may have open.
func Descriptors() (int, error) { return descriptors() }

// AddressSpace returns how many bytes of address space the process may use.
func AddressSpace() (uint64, error) { return addressSpace() }

// LimitAddressSpace lowers the soft limit of the process's address space.
func LimitAddressSpace(bytes uint64) error { return limitAddressSpace(bytes) }
