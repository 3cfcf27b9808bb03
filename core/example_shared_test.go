package core_test

import (
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"os/exec"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/core"
)

// addInChild is what the other process does.
func addInChild() error {
	passed := os.NewFile(3, "counter") // the first of ExtraFiles
	f, err := core.Map(passed, core.Options{Access: core.ReadWrite, NoLock: true})
	if err != nil {
		return err
	}
	defer f.Close()
	pin, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	defer pin.Release()
	counter, err := core.At[uint64](pin, 0)
	if err != nil {
		return err
	}
	atomic.AddUint64(counter, 40)
	return nil
}

// A counter in memory that two processes share. The descriptor is passed on as
// Unix systems do it.
func ExampleNewShared() {
	f, err := core.NewShared("counter", 4096, core.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	passed, err := f.Dup()
	if err != nil {
		log.Fatal(err)
	}
	defer passed.Close()

	cmd := exec.Command("/usr/local/bin/adder") // calls addInChild
	cmd.ExtraFiles = []*os.File{passed}
	if err := cmd.Run(); err != nil {
		log.Fatal(err)
	}
	n, err := core.Get[uint64](f, 0, binary.NativeEndian)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n)
}
