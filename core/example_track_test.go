package core_test

import (
	"fmt"
	"log"
	"net/http"
	_ "net/http/pprof" // serves /debug/pprof/fmmap.pins and /debug/pprof/fmmap.files
	"strings"
	"time"

	"github.com/fmmap-go/fmmap/core"
)

// A server shows which stacks hold pins and files:
//
//	go tool pprof http://localhost:6060/debug/pprof/fmmap.pins
//	curl 'http://localhost:6060/debug/pprof/fmmap.files?debug=1'
func ExampleTracking() {
	core.Track(core.Tracking{Pins: true, Files: true, Abandoned: true, BlockedAfter: 30 * time.Second})
	log.Fatal(http.ListenAndServe("localhost:6060", nil))
}

// forgetful takes a pin that nothing releases.
func forgetful(f *core.File) *core.Pin {
	pin, err := f.Pin(0, 8)
	if err != nil {
		log.Fatal(err)
	}
	return pin
}

// A Close that waits says for which pin.
func ExampleBlockedChange() {
	reports := make(chan core.BlockedChange)
	core.Track(core.Tracking{
		Pins:         true,
		BlockedAfter: 10 * time.Millisecond,
		OnBlocked:    func(b core.BlockedChange) { reports <- b },
	})
	defer core.Track(core.Tracking{})

	f := core.NewMemory("memory", make([]byte, 64))
	pin := forgetful(f)
	closing, err := f.StartClose(nil)
	if err != nil {
		log.Fatal(err)
	}
	b := <-reports
	fmt.Printf("%s of %s waits for %d operations and %d pin\n", b.Op, b.File, b.Operations, len(b.Pins))
	fmt.Println("taken by forgetful:", strings.Contains(b.Pins[0].Stack, "core_test.forgetful"))

	pin.Release()
	fmt.Println(closing.Finish())
	// Output:
	// close of memory waits for 0 operations and 1 pin
	// taken by forgetful: true
	// <nil>
}

// A program that counts what it has abandoned instead of logging it.
func ExampleHolder() {
	abandoned := make(chan core.Holder, 100)
	core.Track(core.Tracking{Pins: true, Abandoned: true, OnAbandoned: func(h core.Holder) {
		select {
		case abandoned <- h:
		default:
		}
	}})
	for h := range abandoned {
		what := "file"
		if h.IsPin {
			what = fmt.Sprintf("pin of %d bytes", h.Len)
		}
		fmt.Printf("%s: %s, from\n%s", h.File, what, h.Stack)
	}
}
