package pinrelease

import (
	"fmt"

	"github.com/fmmap-go/fmmap/core"
)

func Example() {
	f, _ := core.Open("file")
	_, err := f.Pin(0, 8) // want "the pin is discarded"
	fmt.Println("pinned")
	_ = err
	// Output: pinned
}
