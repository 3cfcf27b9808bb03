package disk

import (
	"syscall"
	"time"
)

// Op is what a disk can be asked to do.
type Op string

// The operations of a disk.
const (
	Read  Op = "read"
	Write Op = "write"
	Flush Op = "flush"
)

// A Fault makes chosen operations fail. A write that fails changes nothing, and
// a flush that fails makes nothing durable. Numbers of reads are not to be
// relied on: where reading ahead has failed the kernel asks for the page again.
type Fault struct {
	Op       Op
	Off, Len int64         // only what touches [Off, Off+Len) of the disk; Len 0 means anywhere
	Skip     int           // so many of those go well first,
	Times    int           // then so many fail; 0 means all, until Heal
	Err      syscall.Errno // 0 means EIO; a file system on a loop device sees EIO whatever it is
}

// Stats counts what has been asked of a disk since it was made.
type Stats struct {
	Reads, Writes, Flushes  int64 // ended, well or not
	BytesRead, BytesWritten int64
	Failed                  int64 // by a Fault
	Held                    int64 // now, by Hold
}

// A command is one line from the program to the server, a response one line
// back.
type command struct {
	Do    string        `json:"do"`
	Fault Fault         `json:"fault,omitzero"`
	Op    Op            `json:"op,omitempty"`
	Delay time.Duration `json:"delay,omitempty"`
	On    bool          `json:"on,omitempty"`
}

type response struct {
	Err   string `json:"err,omitempty"`
	Stats Stats  `json:"stats,omitzero"`
}

// The commands.
const (
	doFail  = "fail"
	doHeal  = "heal"
	doDelay = "delay"
	doHold  = "hold"
	doLie   = "lie"
	doStats = "stats"
	doReset = "reset" // the program has written base and live: the log starts again
)

// The files in the directory that the program and the server share.
const (
	liveName = "live"
	baseName = "base"
	logName  = "log"
	dataName = "data"
	headName = "head"
	fuseName = "fuse"  // the directory where the server's files appear:
	rawName  = "raw"   // for a loop device: nothing of it stays in the page cache
	fileName = "file"  // for programs: cached, can be mapped
	mntName  = "mount" // where the file system on the loop device is mounted

	cutterName = "cutter-" // begins the name of each cutter's own directory
)
