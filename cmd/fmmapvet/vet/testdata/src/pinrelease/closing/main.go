// Command closing holds pins when main closes their file.
package main

import (
	"fmt"
	"log"

	"github.com/fmmap-go/fmmap/core"
)

func main() {
	f, err := core.Open("data")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	p, err := f.Pin(0, 8) // want "the pin p is not released on all paths"
	if err != nil {
		log.Print(err)
		return
	}
	f.Pin(8, 8) // want "the pin is discarded"
	fmt.Println(p.Bytes())
}
