// Command ending holds a pin until its process ends, and closes no file.
package main

import (
	"fmt"
	"log"
	"os"

	"github.com/fmmap-go/fmmap/core"
)

func report() { log.Print("over") }

func main() {
	defer report()
	f, err := core.Open("data")
	if err != nil {
		log.Fatal(err)
	}
	out, err := os.Create("out")
	if err != nil {
		log.Fatal(err)
	}
	defer out.Close()
	p, err := f.Pin(0, 8)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Fprintln(out, p.Bytes())
}
