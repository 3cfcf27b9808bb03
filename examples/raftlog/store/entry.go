package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// An entry is stored as
//
//	version  1 byte
//	type     1 byte
//	term     uvarint
//	seconds  varint, of AppendedAt since 1970
//	nanos    uvarint, one more than those of AppendedAt; 0 for the zero time
//	length   uvarint, of the extensions
//	extensions, data
//
// The index is that of the record.
const (
	version   = 1
	maxHeader = 2 + 4*binary.MaxVarintLen64
)

// encode appends the record of an entry to b.
func encode(b []byte, e *raft.Log) []byte {
	b = append(b, version, byte(e.Type))
	b = binary.AppendUvarint(b, e.Term)
	seconds, nanos := int64(0), uint64(0)
	if !e.AppendedAt.IsZero() {
		seconds, nanos = e.AppendedAt.Unix(), uint64(e.AppendedAt.Nanosecond())+1
	}
	b = binary.AppendVarint(b, seconds)
	b = binary.AppendUvarint(b, nanos)
	b = binary.AppendUvarint(b, uint64(len(e.Extensions)))
	b = append(b, e.Extensions...)
	return append(b, e.Data...)
}

// decode is the inverse of encode. What it sets in e are slices of b.
func decode(b []byte, index uint64, e *raft.Log) error {
	if len(b) < 2 || b[0] != version {
		return fmt.Errorf("record %d is no raft entry of version %d", index, version)
	}
	d := decoder{b: b[2:]}
	*e = raft.Log{Index: index, Type: raft.LogType(b[1]), Term: d.uvarint()}
	seconds, nanos := d.varint(), d.uvarint()
	if nanos != 0 {
		e.AppendedAt = time.Unix(seconds, int64(nanos-1))
	}
	n := d.uvarint()
	if d.err != nil || n > uint64(len(d.b)) {
		return fmt.Errorf("record %d is no raft entry: %w", index, errShort)
	}
	if n > 0 {
		e.Extensions = d.b[:n:n]
	}
	if data := d.b[n:]; len(data) > 0 {
		e.Data = data
	}
	return nil
}

var errShort = errors.New("it ends too early")

// A decoder reads numbers from the front of b.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	d.skip(n)
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	d.skip(n)
	return v
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.err, d.b = errShort, nil
		return
	}
	d.b = d.b[n:]
}
