package core_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// openOften opens and closes a file as often as the environment says.
func openOften() error {
	debug.SetGCPercent(-1) // the runtime's own mappings would be counted
	n, err := strconv.Atoi(os.Getenv("TIMES"))
	if err != nil {
		return err
	}
	if dir := os.Getenv("IN"); dir != "" {
		if err := os.Chdir(dir); err != nil {
			return err
		}
	}
	var o core.Options
	if os.Getenv("STORES") != "" {
		o.Access = core.ReadWrite
	}
	for range n {
		f, err := core.OpenFile(os.Getenv("FILE"), o)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Opening, locking, mapping and closing a file costs these system calls on Linux
// and no others. Each has its reason:
//
//	openat      with O_NONBLOCK, so that a pipe of that name does not block
//	epoll_ctl   by package os, which has no other way to a file without two more calls
//	fstat       kind, identity, and the unit of mappings
//	flock       the lock
//	newfstatat  whether the name still means the file, and its size under the lock
//	mmap
//	madvise     whether mlockall(2) would lock the reservation
//	munmap
//	flock       a child between fork and exec would keep the lock
//	close
//
// Systems of 32 bits have other names for some, and make no reservation.
func TestSystemCallsOfOpening(t *testing.T) {
	name := tempFile(t, pattern(MiB, 1))
	dir, base := filepath.Split(name)
	reading := map[string]int{
		"openat": 1, "epoll_ctl": 1, "fstat": 1, "flock": 2, "newfstatat": 1, "mmap": 1, "madvise": 1, "munmap": 1, "close": 1,
	}
	if bits.UintSize == 32 {
		delete(reading, "madvise")
	}
	names := map[string]string{"fstat64": "fstat", "fstatat64": "newfstatat", "mmap2": "mmap", "_llseek": "lseek"}
	with := func(more map[string]int) map[string]int {
		all := maps.Clone(reading)
		maps.Copy(all, more)
		return all
	}
	for _, test := range []struct {
		what string
		env  []string
		want map[string]int
	}{
		{"for loads", []string{"FILE=" + name}, reading},
		{"by a name from the working directory", []string{"FILE=" + base, "IN=" + dir}, with(map[string]int{"getcwd": 1})},
		{"for stores", []string{"FILE=" + name, "STORES=1"}, with(map[string]int{"lseek": 3})}, // holes are looked for
	} {
		t.Run(test.what, func(t *testing.T) {
			const few, many = 10, 210
			base := testutil.SystemCalls(t, "opening", append(test.env, fmt.Sprint("TIMES=", few))...)
			calls := testutil.SystemCalls(t, "opening", append(test.env, fmt.Sprint("TIMES=", many))...)
			each := map[string]int{}
			for what, n := range calls {
				switch what { // of the runtime's threads, at any time
				case "futex", "futex_time64", "nanosleep", "epoll_pwait", "sched_yield", "rt_sigreturn", "tgkill", "getpid":
					continue
				}
				if n := (n - base[what] + (many-few)/2) / (many - few); n > 0 {
					each[cmp.Or(names[what], what)] = n
				}
			}
			if !maps.Equal(each, test.want) {
				t.Errorf("each opening costs %v\nwant %v", each, test.want)
			}
		})
	}
}
