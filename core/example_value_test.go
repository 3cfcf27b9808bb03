package core_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/core"
)

// Values are stored at any offset, in the byte order of the format.
func ExampleGet() {
	f := core.NewMemory("m", []byte{0xff, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0x80, 0x3f})
	defer f.Close()
	fmt.Printf("%#x\n", must(core.Get[uint16](f, 1, binary.BigEndian)))
	fmt.Println(must(core.Get[float32](f, 7, binary.LittleEndian)))
	fmt.Println(must(core.Get[int8](f, 0, binary.LittleEndian)))
	_, err := core.Get[uint64](f, 4, binary.LittleEndian)
	fmt.Println(errors.Is(err, core.ErrRange))
	// Output:
	// 0x1234
	// 1
	// -1
	// true
}

// A column of values is stored and loaded in one call each.
func ExampleGetSlice() {
	f := core.NewMemory("m", make([]byte, 64))
	defer f.Close()
	if err := core.PutSlice(f, 8, binary.BigEndian, []uint32{2, 3, 5, 7}); err != nil {
		log.Fatal(err)
	}
	primes := make([]uint32, 3)
	err := core.GetSlice(f, 12, binary.BigEndian, primes)
	fmt.Println(primes, err)
	// Output: [3 5 7] <nil>
}

// A record of values, one after the other.
func ExampleNext() {
	f := core.NewMemory("m", make([]byte, 16))
	defer f.Close()
	w := must(f.NewWriter(0, 16))
	err := errors.Join(
		core.PutNext(w, binary.BigEndian, uint16(0xcafe)),
		core.PutNext(w, binary.BigEndian, -1),
		core.PutNext(w, binary.BigEndian, float32(2.5)),
	)
	if err != nil {
		log.Fatal(err)
	}
	r := must(f.NewReader(0, 16))
	fmt.Printf("%#x ", must(core.Next[uint16](r, binary.BigEndian)))
	fmt.Print(must(core.Next[int](r, binary.BigEndian)), " ") // 64 bits on every machine
	fmt.Println(must(core.Next[float32](r, binary.BigEndian)), r.Len())
	// Output: 0xcafe -1 2.5 2
}

func ExampleUint128() {
	f := core.NewMemory("m", make([]byte, 16))
	defer f.Close()
	if err := core.Put(f, 0, binary.BigEndian, core.Uint128{Hi: 0x0123456789abcdef, Lo: 0xff}); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%x\n", must(f.Clone()))
	// Output: 0123456789abcdef00000000000000ff
}

func ExampleInt128() {
	f := core.NewMemory("m", make([]byte, 16))
	defer f.Close()
	minusTwo := core.Int128{Hi: -1, Lo: ^uint64(1)}
	if err := core.Put(f, 0, binary.LittleEndian, minusTwo); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%x\n", must(f.Clone()))
	// Output: feffffffffffffffffffffffffffffff
}

// sum adds all of whatever Fixed type a format has.
func sum[T interface {
	core.Fixed
	~uint16 | ~uint32 | ~uint64
}](f *core.File, order binary.ByteOrder) (total T, err error) {
	r, err := f.NewReader(0, f.Len())
	for err == nil {
		var v T
		v, err = core.Next[T](r, order)
		total += v
	}
	if err == io.EOF {
		err = nil
	}
	return total, err
}

// Functions over values take the constraint along.
func ExampleFixed() {
	f := core.NewMemory("m", []byte{1, 0, 2, 0, 3, 0, 4, 0})
	defer f.Close()
	fmt.Println(sum[uint16](f, binary.LittleEndian))
	fmt.Println(sum[uint32](f, binary.LittleEndian))
	// Output:
	// 10 <nil>
	// 393220 <nil>
}

// A file that is an array of records is used as one.
func ExampleSlice() {
	type record struct {
		ID    uint32
		Flags uint32
		Size  int64
	}
	f, err := core.NewAnonymous(4096, core.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	p := must(f.Pin(0, 4096))
	defer p.Release()
	records, err := core.Slice[record](p, 0, 100)
	if err != nil {
		log.Fatal(err)
	}
	records[99] = record{ID: 7, Size: -1}
	fmt.Println(must(core.Get[uint32](f, 99*16, binary.NativeEndian)))
	_, err = core.Slice[struct{ Name string }](p, 0, 1)
	fmt.Println(err)
	// Output:
	// 7
	// slice anonymous: struct { Name string }: the type holds Go pointers: invalid argument
}

// Two processes count in the same file, without a lock.
func ExampleAt() {
	dir, remove := scratch()
	defer remove()
	name := filepath.Join(dir, "counter")
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: 8, NoLock: true})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	// The second process is this program again, in a role of its own: see
	// countIn.
	other := exec.Command(must(os.Executable()))
	other.Env = append(os.Environ(), "FMMAP_TEST_ROLE=count", "COUNTER="+name)
	other.Stderr = os.Stderr
	if err := other.Start(); err != nil {
		log.Fatal(err)
	}
	if err := countIn(f); err != nil {
		log.Fatal(err)
	}
	if err := other.Wait(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(must(core.Get[uint64](f, 0, binary.NativeEndian)))
	// Output: 200000
}

// countIn adds to the counter at the start of f.
func countIn(f *core.File) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	defer p.Release()
	n, err := core.At[atomic.Uint64](p, 0)
	if err != nil {
		return err
	}
	return p.Do(func([]byte) error { // guarded, in case the file is shortened
		for range 100_000 {
			n.Add(1)
		}
		return nil
	})
}

// countElsewhere is what the second process of [ExampleAt] does.
func countElsewhere() error {
	f, err := core.OpenFile(os.Getenv("COUNTER"), core.Options{Access: core.ReadWrite, NoLock: true})
	if err != nil {
		return err
	}
	return errors.Join(countIn(f), f.Close())
}
