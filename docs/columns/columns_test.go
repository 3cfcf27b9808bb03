package columns

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/fmmap-go/fmmap/core"
)

// mapped opens the file that write has written.
func mapped(t *testing.T, write func(f *os.File) error) *core.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := core.Open(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// arrowFile writes batches of n numbers, from 0 on.
func arrowFile(batches, n int) func(f *os.File) error {
	return func(f *os.File) error {
		schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
		w, err := ipc.NewFileWriter(f, ipc.WithSchema(schema))
		if err != nil {
			return err
		}
		for i := range batches {
			b := array.NewInt64Builder(memory.DefaultAllocator)
			for j := range n {
				b.Append(int64(i*n + j))
			}
			column := b.NewArray()
			batch := array.NewRecordBatch(schema, []arrow.Array{column}, int64(n))
			err = errors.Join(err, w.Write(batch))
			batch.Release()
			column.Release()
			b.Release()
		}
		return errors.Join(err, w.Close())
	}
}

func TestSum(t *testing.T) {
	f := mapped(t, arrowFile(3, 1000))
	if sum, err := Sum(f, 0); sum != 2999*3000/2 || err != nil {
		t.Errorf("got %d, %v", sum, err)
	}
}

// The arrays are in the mapping, and not copies of it.
func TestArraysAreInTheMapping(t *testing.T) {
	f := mapped(t, arrowFile(1, 1000))
	err := f.View(func(b []byte) error {
		r, err := ipc.NewMappedFileReader(b)
		if err != nil {
			return err
		}
		defer r.Close()
		batch, err := r.RecordBatchAt(0)
		if err != nil {
			return err
		}
		defer batch.Release()
		values := batch.Column(0).(*array.Int64).Int64Values()
		first, at := uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&values[0]))
		if at < first || at >= first+uintptr(len(b)) {
			t.Error("the array is a copy")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A file that is shortened while it is mapped is an error of the sum.
func TestSumOfLostBytes(t *testing.T) {
	f := mapped(t, arrowFile(1, 1<<20))
	for _, left := range []int64{4 << 20, 0} { // the footer goes first
		if err := os.Truncate(f.Name(), left); err != nil {
			t.Skipf("this system does not shorten a mapped file: %v", err)
		}
		if _, err := Sum(f, 0); !errors.Is(err, core.ErrFault) {
			t.Errorf("with %d bytes left: got %v, want a fault", left, err)
		}
	}
}

func TestLongest(t *testing.T) {
	f := mapped(t, func(f *os.File) error {
		w := parquet.NewGenericWriter[Trip](f)
		for i := range 1000 {
			if _, err := w.Write([]Trip{{"Bern", float64(i % 700)}, {"Oslo", 699.5}}); err != nil {
				return err
			}
		}
		return w.Close()
	})
	if got, err := Longest(f); got != (Trip{"Oslo", 699.5}) || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if err := os.Truncate(f.Name(), 0); err != nil {
		t.Skipf("this system does not shorten a mapped file: %v", err)
	}
	if _, err := Longest(f); !errors.Is(err, core.ErrFault) {
		t.Errorf("got %v, want a fault", err)
	}
}
