package sys

import "unsafe"

// bytes returns the mapped memory [off, off+n).
func (m *Mapping) bytes(off, n int64) []byte {
	// In bounds: the caller has checked the range against the mapping. Alive:
	// the mapping is not unmapped during a call of sys, and sys keeps no slice.
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

// pageInward narrows [off, off+n) to the whole pages inside it, for calls that
// destroy what is in a page; it clips and refuses as pageOutward does. The last
// page of the mapping counts as whole if the range reaches the mapping's end.
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
