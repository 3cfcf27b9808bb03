package right

import (
	"errors"
	"fmt"
	"io"

	"github.com/fmmap-go/fmmap/core"
)

func Example() {
	f, _ := core.Open("file")
	_, err := f.Pin(-1, 8)
	fmt.Println(errors.Is(err, io.EOF))
	_, err = f.Pin(-1, 8)
	fmt.Println(err)
	// Output:
	// true
	// EOF
}
