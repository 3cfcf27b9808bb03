// Command deferring closes the file in a function that main defers.
package main

import (
	"fmt"
	"log"

	"github.com/fmmap-go/fmmap/async"
)

type server struct{ f *async.File }

func (s *server) stop() {
	if err := s.f.Close(); err != nil {
		log.Print(err)
	}
}

func open() *async.File { return nil }

func main() {
	s := &server{open()}
	defer s.stop()
	p, ok := s.f.TryLoad(0, 8) // want "the pin p is not released on all paths"
	if !ok {
		return
	}
	fmt.Println(p.Bytes())
}
