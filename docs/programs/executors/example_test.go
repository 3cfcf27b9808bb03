package executors_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/alitto/pond/v2"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/docs/programs/executors"
)

func ExamplePond() {
	dir, err := os.MkdirTemp("", "executors")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	fmt.Println(run(filepath.Join(dir, "data")))
	// Output: <nil>
}

func run(name string) error {
	ctx := context.Background()
	workers := pond.NewPool(0)
	defer workers.StopAndWait() // after the pool below
	pool, err := async.NewPool(async.PoolOptions{Executor: executors.Pond(workers)})
	if err != nil {
		return err
	}
	defer pool.Close()
	f, err := async.Open(ctx, pool, name, core.Options{Access: core.ReadWrite, Create: true, Size: 4096}).Await(ctx)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Flush().Await(ctx)
	return err
}
