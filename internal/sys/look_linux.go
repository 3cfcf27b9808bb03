package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func cacheState(f *os.File, off, n int64) (s CacheState, err error) {
	if n == 0 { // which cachestat takes for the rest of the file
		return s, nil
	}
	var st unix.Cachestat_t
	err = control(f, func(fd uintptr) error {
		r := unix.CachestatRange{Off: uint64(off), Len: uint64(n)}
		return retryEINTR(func() error { return unix.Cachestat(uint(fd), &r, &st, 0) })
	})
	switch err {
	case nil:
		page := uint64(pageSize())
		return CacheState{int64(st.Cache * page), int64(st.Dirty * page), int64(st.Writeback * page)}, nil
	case unix.ENOSYS, unix.EPERM, unix.EOPNOTSUPP:
		return s, fmt.Errorf("cachestat: %w", errors.ErrUnsupported)
	}
	return s, err
}

func dropCache(f *os.File) error {
	return control(f, func(fd uintptr) error {
		return retryEINTR(func() error { return unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED) })
	})
}

func holders(info fs.FileInfo) ([]Holder, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("locks: %w", errors.ErrUnsupported)
	}
	table, err := os.ReadFile("/proc/locks")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no /proc/locks: %w", errors.ErrUnsupported)
	}
	if err != nil {
		return nil, err
	}
	dev := uint64(st.Dev)
	found := parseLocks(string(table), fmt.Sprintf("%02x:%02x:%d", unix.Major(dev), unix.Minor(dev), st.Ino))
	for i, h := range found {
		if h.PID > 0 { // it may have ended since
			comm, _ := os.ReadFile("/proc/" + strconv.Itoa(h.PID) + "/comm")
			found[i].Command = strings.TrimSpace(string(comm))
		}
	}
	return found, nil
}

// parseLocks returns the lines of /proc/locks about one file, which is named by
// its device and inode.
func parseLocks(table, file string) (found []Holder) {
	for line := range strings.Lines(table) {
		w := strings.Fields(line)
		waiting := len(w) > 1 && w[1] == "->"
		if waiting {
			w = w[1:]
		}
		if len(w) < 8 || w[5] != file {
			continue
		}
		pid, err := strconv.Atoi(w[4])
		if err != nil {
			continue
		}
		found = append(found, Holder{PID: pid, Kind: w[1], Mode: w[3], From: w[6], To: w[7], Waiting: waiting})
	}
	return found
}
