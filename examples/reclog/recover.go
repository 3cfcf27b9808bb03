package reclog

import (
	"bytes"
	"context"
	"encoding/binary"
)

// ahead is how many bytes are read into memory before they are scanned.
const ahead = 4 << 20

// recover finds the end of the log: the first record that is not whole. What
// follows was never acknowledged. recover cuts it off, durably, so that its
// bytes are never taken for later records.
func (l *Log) recover(ctx context.Context) error {
	f := l.file
	size := f.Core().Len()
	if size == 0 {
		return l.begin(ctx)
	}
	pin, err := f.Core().Pin(0, size)
	if err != nil {
		return err
	}
	interrupted := false
	err = pin.Do(func(b []byte) (err error) {
		interrupted, err = l.scan(ctx, b)
		return err
	})
	pin.Release()
	if err != nil {
		return err
	}
	if interrupted {
		return l.begin(ctx)
	}
	if l.tail == size {
		return nil
	}
	return l.cutTail(ctx)
}

// scan reads the records from the front. It reports whether the file is one
// whose creation was interrupted: a header's length of zeros and nothing else.
// A longer file of zeros is not a log, see begin.
func (l *Log) scan(ctx context.Context, b []byte) (interrupted bool, err error) {
	if len(b) < fileHeader {
		return false, ErrNotALog
	}
	resident := int64(0)
	need := func(end int64) error {
		for resident < end {
			n := min(ahead, int64(len(b))-resident)
			if _, err := l.file.PageIn(ctx, resident, n).Await(ctx); err != nil {
				return err
			}
			resident += n
		}
		return nil
	}
	if err := need(fileHeader); err != nil {
		return false, err
	}
	switch h := header(); {
	case bytes.Equal(b, make([]byte, fileHeader)):
		return true, nil
	case !bytes.Equal(b[:fileHeader], h[:]):
		return false, ErrNotALog
	}
	l.tail = fileHeader
	for {
		if int64(len(b))-l.tail < recordHeader {
			break
		}
		if err := need(l.tail + recordHeader); err != nil {
			return false, err
		}
		h := b[l.tail : l.tail+recordHeader]
		n := int64(binary.LittleEndian.Uint32(h))
		seq := uint64(len(l.places)) + 1
		if n == 0 || binary.LittleEndian.Uint64(h[8:]) != seq || footprint(n) > int64(len(b))-l.tail {
			break
		}
		if err := need(l.tail + footprint(n)); err != nil {
			return false, err
		}
		rec := b[l.tail+recordHeader:][:n]
		if binary.LittleEndian.Uint32(h[4:]) != checksum(seq, rec) {
			break
		}
		l.places = append(l.places, place{l.tail + recordHeader, n})
		l.tail += footprint(n)
	}
	l.durable = uint64(len(l.places))
	l.cut = torn(b[l.tail:])
	return false, nil
}

// torn returns the length of what is not zero at the beginning of b, the bytes
// after the last record. It is 0 when the log ended cleanly.
func torn(b []byte) int64 {
	const look = 64 << 10 // enough to notice a torn record: it begins here
	b = b[:min(len(b), look)]
	return int64(len(bytes.TrimRight(b, "\x00")))
}

// cutTail cuts off what follows the last record. Growing again yields zeros.
func (l *Log) cutTail(ctx context.Context) error {
	if _, err := l.file.Truncate(ctx, l.tail).Await(ctx); err != nil {
		return err
	}
	_, err := l.file.Flush().Await(ctx)
	return err
}

// begin makes an empty log of a new file. The header is durable before the file
// is longer than the header, so that a crash at any moment leaves a file that
// Open accepts, and no file of another program looks like one of these. The
// first record makes the file grow.
func (l *Log) begin(ctx context.Context) error {
	if _, err := l.file.Truncate(ctx, fileHeader).Await(ctx); err != nil {
		return err
	}
	h := header()
	if _, err := l.file.Core().WriteAt(h[:], 0); err != nil {
		return err
	}
	l.tail = fileHeader
	_, err := l.file.FlushRange(0, fileHeader).Await(ctx)
	return err
}
