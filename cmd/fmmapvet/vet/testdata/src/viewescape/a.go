package viewescape

import (
	"bytes"
	"sync"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/core"
)

type header struct{ magic [8]byte }

var global []byte

type cache struct {
	b    []byte
	rows [][]byte
	m    map[string][]byte
}

func escapes(f *core.File, p *core.Pin, c *cache, ch chan []byte) (out []byte) {
	var head *header
	var s string
	f.View(func(b []byte) error {
		out = b                                 // want "bytes of the map leave the callback of View"
		out = b[:4]                             // want "leave the callback of View"
		global = b                              // want "leave the callback of View"
		c.b = b                                 // want "leave the callback of View"
		c.rows[0] = b[:1]                       // want "leave the callback of View"
		c.rows = append(c.rows, b[:2])          // want "leave the callback of View"
		c.m["x"] = b                            // want "leave the callback of View"
		part := bytes.TrimSpace(b)              // an alias
		c.b = part                              // want "leave the callback of View"
		c.rows = bytes.Split(b, []byte{'\n'})   // want "leave the callback of View"
		head = (*header)(unsafe.Pointer(&b[0])) // want "leave the callback of View"
		s = unsafe.String(&b[0], 4)             // want "leave the callback of View"
		*c = cache{b: b}                        // want "leave the callback of View"
		ch <- b                                 // want "bytes of the map are sent out of the callback of View"
		return nil
	})
	f.Update(func(b []byte) error {
		out = b // want "leave the callback of Update"
		return nil
	})
	p.Do(func(b []byte) error {
		out = b // want "leave the callback of Do"
		return nil
	})
	_, _ = head, s
	return out
}

func goroutines(f *core.File, g *errgroup.Group, wg *sync.WaitGroup, work func([]byte)) {
	f.View(func(b []byte) error {
		go work(b) // want "another goroutine touches the bytes"
		go func() {
			work(b[1:]) // want "another goroutine touches the bytes"
		}()
		g.Go(func() error {
			work(b) // want "another goroutine touches the bytes"
			return nil
		})
		part := b[:4]
		wg.Go(func() { part[0] = 1 }) // want "another goroutine touches the bytes"
		return g.Wait()
	})
}

func runtime(f *core.File, bytes chan byte, headers chan header, seen map[header]int, keys map[[8]byte]int, names map[string]int) {
	f.View(func(b []byte) error {
		bytes <- b[0] // want "sent straight from mapped bytes"
		h := (*header)(unsafe.Pointer(&b[0]))
		headers <- *h                      // want "sent straight from mapped bytes"
		seen[*h] = 1                       // want "the key lies in mapped bytes"
		keys[h.magic] = 1                  // want "the key lies in mapped bytes"
		names[unsafe.String(&b[0], 4)] = 1 // want "the key lies in mapped bytes"
		return nil
	})
}
