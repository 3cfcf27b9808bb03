package counterparts

import (
	"context"

	"github.com/fmmap-go/fmmap/wal"
)

type fmmapQueue struct{ *wal.Log }

func openFmmapQueue(name string) (queue, error) {
	l, err := wal.Open(context.Background(), name, wal.Options{})
	if err != nil {
		return nil, err
	}
	return fmmapQueue{l}, nil
}

func (q fmmapQueue) Put(lines ...string) error {
	var records [][]byte
	for _, line := range lines {
		records = append(records, []byte(line))
	}
	_, err := q.Write(context.Background(), records...)
	return err
}

func (q fmmapQueue) Take(n int) (lines []string, err error) {
	next := q.First()
	for r, err := range q.Range(context.Background(), next) {
		if err != nil {
			return nil, err
		}
		if len(lines) == n {
			break
		}
		lines, next = append(lines, string(r.Data)), r.Index+1
	}
	return lines, q.TruncateFront(next)
}
