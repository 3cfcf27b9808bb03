package reclog

import (
	"bytes"
	"context"
	"encoding/binary"
)

// ahead is how much is brought into memory before it is looked at.
const ahead = 4 << 20

// recover finds the end of the log: the first record that is not whole. What lies behind it was never acknowledged. It
// is cut off, and durably so, lest its bytes be taken for records of a later life.
func (l *Log) recover(ctx context.Context) error {
	f := l.file
	size := f.Core().Len()
	if size < fileHeader {
		return l.begin(ctx, size)
	}
	pin, err := f.Core().Pin(0, size)
	if err != nil {
		return err
	}
	fresh := false
	err = pin.Do(func(b []byte) (err error) {
		fresh, err = l.scan(ctx, b)
		return err
	})
	pin.Release()
	if err != nil {
		return err
	}
	if fresh {
		return l.begin(ctx, size)
	}
	if l.tail == size {
		return nil
	}
	return l.cutTail(ctx)
}

// scan walks the records from the front. It reports whether the file was made but never written.
func (l *Log) scan(ctx context.Context, b []byte) (fresh bool, err error) {
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
	case bytes.Equal(b[:fileHeader], make([]byte, fileHeader)):
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

// torn is the length of what is not zero behind the end: 0 when the log ended cleanly.
func torn(b []byte) int64 {
	const look = 64 << 10 // a torn record begins where the log ends
	b = b[:min(len(b), look)]
	return int64(len(bytes.TrimRight(b, "\x00")))
}

// cutTail gives back what lies behind the last record. Growing again gives zeros.
func (l *Log) cutTail(ctx context.Context) error {
	if _, err := l.file.Truncate(ctx, l.tail).Await(ctx); err != nil {
		return err
	}
	_, err := l.file.Flush().Await(ctx)
	return err
}

// begin makes an empty log of a file that has nothing yet.
func (l *Log) begin(ctx context.Context, size int64) error {
	if size > 0 && size < fileHeader {
		b, err := l.file.Core().Clone()
		if err != nil {
			return err
		}
		if len(bytes.Trim(b, "\x00")) > 0 {
			return ErrNotALog
		}
	}
	if _, err := l.file.Truncate(ctx, 0).Await(ctx); err != nil {
		return err
	}
	if _, err := l.file.Truncate(ctx, max(l.opts.Grow, fileHeader)).Await(ctx); err != nil {
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
