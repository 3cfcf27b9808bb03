// Package counterparts has five small uses of mapped files twice: over fmmap, and
// over github.com/edsrzf/mmap-go with a mutex, as one would write the same
// without the library: with a lock of the file, with faults as errors, with
// growth by mapping again. Its test runs both for the same output, and compares
// how many statements each takes.
package counterparts

import (
	"bytes"
	"hash/crc32"
)

// index looks up lines "key TAB value" in a file, and follows one that replaces it.
// Lookups may run beside each other and beside Reload. A file that is cut short is
// an error.
type index interface {
	Lookup(key string) (value string, err error)
	Reload() error
	Close() error
}

// queue is durable: Put returns when the lines survive a power cut, and Take
// returns at most n of them, once each.
type queue interface {
	Put(lines ...string) error
	Take(n int) ([]string, error)
	Close() error
}

// table holds rows that readers get while it grows.
type table interface {
	Append(r [rowSize]byte) error
	Get(i int64) ([rowSize]byte, error)
	Close() error
}

const (
	rowSize  = 16
	firstLen = 4096 // of a table, in bytes
	counters = 512  // of a file of counters
	sumSize  = 4    // of a chunk of a pipeline
)

// find returns the value of key in lines, "" for none.
func find(b []byte, key string) string {
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(bytes.TrimSuffix(line, []byte("\n")), []byte(key+"\t")); ok {
			return string(v)
		}
	}
	return ""
}

// checksum is what the pipeline computes of a chunk.
func checksum(b []byte) uint32 { return crc32.ChecksumIEEE(b) }
