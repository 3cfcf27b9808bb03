package sys

import "unsafe"

// bytes is the mapped memory [off, off+n). The caller has checked the range
// against the mapping, which outlives the slice: sys never keeps one.
func (m *Mapping) bytes(off, n int64) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(m.base, off)), int(n))
}

// pageOutward widens [off, off+n) to whole pages of the file and clips it to
// the mapping; ok is false when the range does not begin inside the mapping or
// is negative.
func (m *Mapping) pageOutward(off, n int64) (from, length int64, ok bool) {
	if off < 0 || n < 0 || off > m.size {
		return 0, 0, false
	}
	mask := m.page - 1
	from = off &^ mask
	end := m.size
	if n < m.size-off {
		end = min((off+n+mask)&^mask, m.size)
	}
	return from, end - from, true
}

// pageInward narrows [off, off+n) to the whole pages inside it, for what would
// destroy the bytes beside it; it clips and refuses as pageOutward does. The
// last page of the mapping is whole as soon as the range reaches the mapping's
// end.
func (m *Mapping) pageInward(off, n int64) (from, length int64, ok bool) {
	if off < 0 || n < 0 || off > m.size {
		return 0, 0, false
	}
	mask := m.page - 1
	from = (off + mask) &^ mask
	end := m.size
	if n < m.size-off {
		end = (off + n) &^ mask
	}
	return from, max(end-from, 0), true
}
