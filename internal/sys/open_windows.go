package sys

import "golang.org/x/sys/windows"

// OpenNonblock means nothing here: names of files never lead to pipes that wait.
const OpenNonblock = 0

// ErrNoSpace says that the disk is full.
const ErrNoSpace = windows.ERROR_DISK_FULL
