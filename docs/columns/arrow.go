// Package columns reads files of columns, Arrow and Parquet, through mappings.
package columns

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/fmmap-go/fmmap/core"
)

// Sum adds up a column of int64 of an Arrow file, in place: the arrays are slices
// of the mapping, and nothing is copied.
func Sum(f *core.File, column int) (sum int64, err error) {
	pin, err := f.Pin(0, f.Len()) // the arrays are valid until it is released
	if err != nil {
		return 0, err
	}
	defer pin.Release()
	err = pin.Do(func(b []byte) error {
		r, err := ipc.NewMappedFileReader(b)
		if err != nil {
			return err
		}
		defer r.Close()
		for i := range r.NumRecords() {
			batch, err := r.RecordBatchAt(i)
			if err != nil {
				return err
			}
			values, ok := batch.Column(column).(*array.Int64)
			if !ok {
				batch.Release()
				return fmt.Errorf("column %d is %v", column, batch.Column(column).DataType())
			}
			for _, v := range values.Int64Values() {
				sum += v
			}
			batch.Release()
		}
		return nil
	})
	return sum, err
}
