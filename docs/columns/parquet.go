package columns

import (
	"errors"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/fmmap-go/fmmap/core"
)

// Trip is a row of a Parquet file.
type Trip struct {
	City  string  `parquet:"city"`
	Miles float64 `parquet:"miles"`
}

// Longest returns the longest trip in a Parquet file. A core.File is an
// io.ReaderAt, so the pages of columns are copied out of the mapping, and decoded
// on the heap; a fault is the error of a read.
func Longest(f *core.File) (longest Trip, err error) {
	file, err := parquet.OpenFile(f, f.Len())
	if err != nil {
		return Trip{}, err
	}
	r := parquet.NewGenericReader[Trip](file)
	defer r.Close()
	rows := make([]Trip, 128)
	for {
		n, err := r.Read(rows)
		for _, t := range rows[:n] {
			if t.Miles > longest.Miles {
				longest = t
			}
		}
		if errors.Is(err, io.EOF) {
			return longest, nil
		}
		if err != nil {
			return Trip{}, err
		}
	}
}
