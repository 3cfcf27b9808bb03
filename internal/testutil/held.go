package testutil

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Held returns what the process holds now. Mappings without a file are the
// runtime's own affair and not counted, nor are the descriptors by which the
// runtime polls. It reads /proc/self/fd, /proc/self/maps and /proc/locks
// [proc(5)], and returns nothing except on Linux.
func Held() (h Holdings, err error) {
	if runtime.GOOS != "linux" {
		return h, nil
	}
	files := map[string]string{} // device and inode, as /proc/locks writes them, to name
	if h.Descriptors, err = descriptors(files); err != nil {
		return h, err
	}
	if h.Mappings, err = mappings(files); err != nil {
		return h, err
	}
	h.Locks, err = locks(files)
	return h, err
}

// descriptors counts the open descriptors by what they are open on, and enters
// their files.
func descriptors(files map[string]string) (map[string]int, error) {
	const dir = "/proc/self/fd"
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	fds, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, fd := range fds {
		if fd == strconv.Itoa(int(d.Fd())) {
			continue
		}
		name, err := os.Readlink(filepath.Join(dir, fd))
		if err != nil || strings.HasPrefix(name, "anon_inode:") {
			continue // closed meanwhile, or of the runtime's poller
		}
		if kind, _, ok := strings.Cut(name, ":["); ok {
			name = kind // a pipe's or a socket's number says nothing to anybody
		}
		count[name]++
		// The locks of a descriptor are listed with the file's device and inode
		// [proc_pid_fdinfo(5)].
		info, _ := os.ReadFile(filepath.Join("/proc/self/fdinfo", fd)) // closed meanwhile
		for line := range strings.Lines(string(info)) {
			if lock, ok := strings.CutPrefix(line, "lock:"); ok {
				if f := strings.Fields(lock); len(f) > 5 {
					files[f[5]] = name
				}
			}
		}
	}
	return count, nil
}

// mappings counts the kernel mappings of files by their names, and enters the
// files.
func mappings(files map[string]string) (map[string]int, error) {
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for line := range strings.Lines(string(b)) {
		// address perms offset dev inode pathname
		f := strings.Fields(line)
		if len(f) < 6 || f[4] == "0" {
			continue
		}
		name := strings.Join(f[5:], " ")
		count[name]++
		var major, minor uint32
		var ino uint64
		if _, err := fmt.Sscanf(f[3]+" "+f[4], "%x:%x %d", &major, &minor, &ino); err == nil {
			files[inode(major, minor, ino)] = name
		}
	}
	return count, nil
}

// locks counts the locks of this process: those under its number, and those of
// open file descriptions, which have none, on the files that it has open or
// mapped.
func locks(files map[string]string) (map[string]int, error) {
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil, err
	}
	self := strconv.Itoa(os.Getpid())
	count := map[string]int{}
	for line := range strings.Lines(string(b)) {
		// 1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF
		f := strings.Fields(line)
		if len(f) < 8 || f[1] == "->" { // that one waits
			continue
		}
		name, ours := files[f[5]]
		if f[4] != self && (f[4] != "-1" || !ours) {
			continue
		}
		if name == "" {
			name = "inode " + f[5]
		}
		count[fmt.Sprintf("%s (%s %s)", name, f[1], f[3])]++
	}
	return count, nil
}

// inode is how /proc/locks names a file.
func inode(major, minor uint32, ino uint64) string {
	return fmt.Sprintf("%02x:%02x:%d", major, minor, ino)
}
