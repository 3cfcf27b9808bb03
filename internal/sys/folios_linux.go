package sys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"
)

// Bits of /proc/self/pagemap and /proc/kpageflags, see
// https://docs.kernel.org/admin-guide/mm/pagemap.html.
const (
	pagemapFrame   = 1<<55 - 1
	pagemapPresent = 1 << 63
	kpageTail      = 1 << 16
)

// maxFolio is how many pages of a folio are looked at. Of pages of 4 KiB no folio of
// the page cache has more: MAX_PAGECACHE_ORDER is at most that of 2 MiB. A larger one
// is counted as one of that many pages, and the rest.
const maxFolio = 512

func folios(b []byte) (map[int64]int64, error) {
	pagemap, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	defer pagemap.Close()
	flags, err := os.Open("/proc/kpageflags")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	defer flags.Close()
	page := pageSize()
	// Alive: b is the caller's, and only its address is used.
	first := int64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) / page
	counts := map[int64]int64{}
	var entries, tails [maxFolio * 8]byte
	var from, to uint64 // frames of the last folio
	for done := int64(0); done*page < int64(len(b)); done += maxFolio {
		n := min(maxFolio, (int64(len(b))+page-1)/page-done)
		if _, err := pagemap.ReadAt(entries[:n*8], (first+done)*8); err != nil {
			return nil, err
		}
		for i := range n {
			e := binary.NativeEndian.Uint64(entries[i*8:])
			frame := e & pagemapFrame
			switch {
			case e&pagemapPresent == 0 || frame >= from && frame < to:
				continue
			case frame == 0:
				return nil, fmt.Errorf("%w: frames are shown to CAP_SYS_ADMIN alone", errors.ErrUnsupported)
			}
			read, err := flags.ReadAt(tails[:], int64(frame)*8)
			if read < 8 {
				return nil, err // at the end of memory there are fewer than asked for
			}
			pages := uint64(1)
			for pages < uint64(read)/8 && binary.NativeEndian.Uint64(tails[pages*8:])&kpageTail != 0 {
				pages++
			}
			from, to = frame, frame+pages
			counts[int64(pages)*page]++
		}
	}
	return counts, nil
}
