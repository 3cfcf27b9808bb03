// Package right has no mistake.
package right

import (
	"bytes"

	"github.com/fmmap-go/fmmap/core"
)

func copies(f *core.File, ch chan byte, names map[string]int) (out []byte, n int, s string, sum [4]byte) {
	f.View(func(b []byte) error {
		out = append(out, b...)
		out = append([]byte(nil), b[:4]...)
		out = bytes.Clone(b)
		n = len(b)
		n += int(b[0])
		s = string(b)
		sum = [4]byte(b[:4])
		names[string(b)]++
		v := b[0]
		ch <- v
		inner := b[1:]
		inner[0] = 1
		copy(out, b)
		for _, line := range bytes.Split(b, []byte{'\n'}) {
			n += len(line)
		}
		go func() { ch <- byte(len(b)) }()
		return nil
	})
	return
}
