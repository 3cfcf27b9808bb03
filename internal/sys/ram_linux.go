package sys

import (
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func memory() int64 {
	n := int64(unknownMemory)
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) == nil {
		n = int64(s.Totalram) * int64(s.Unit)
	}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return n
	}
	return cgroupLimit(string(b), func(name string) string {
		b, _ := os.ReadFile("/sys/fs/cgroup" + name)
		return string(b)
	}, n)
}

// cgroupLimit returns the least of n and the memory limits of the cgroups that a
// /proc/self/cgroup names, and of those above them. read returns the contents of
// a file of /sys/fs/cgroup, "" if there is none.
func cgroupLimit(cgroups string, read func(name string) string, n int64) int64 {
	for line := range strings.Lines(cgroups) {
		// "0::/group" of version 2, or "4:memory:/group" of version 1
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) < 3 {
			continue
		}
		top, file := "", "memory.max"
		if fields[1] != "" {
			top, file = "/memory", "memory.limit_in_bytes"
		}
		if fields[1] != "" && !strings.Contains(","+fields[1]+",", ",memory,") {
			continue
		}
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			// Not a number: "max", or a cgroup that is out of sight.
			text := strings.TrimSpace(read(path.Join(top, group, file)))
			if limit, err := strconv.ParseInt(text, 10, 64); err == nil && limit > 0 {
				n = min(n, limit)
			}
			if group == "/" {
				break
			}
		}
	}
	return n
}
