package core_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log"

	"github.com/fmmap-go/fmmap/core"
)

// A closing that is detached is finished by the last reader. New users are
// refused at once.
func ExampleChange_Detach() {
	f := core.NewMemory("table", []byte("the last reader"))
	pin, err := f.Pin(0, 15)
	if err != nil {
		log.Fatal(err)
	}
	closing, err := f.StartClose(nil)
	if err != nil {
		log.Fatal(err)
	}
	closing.Detach()
	_, err = f.Pin(0, 15)
	fmt.Println(errors.Is(err, fs.ErrClosed))
	fmt.Printf("%s\n", pin.Bytes())
	pin.Release() // closes the file
	// Output:
	// true
	// the last reader
}
