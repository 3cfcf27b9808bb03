package antspool_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/async/antspool"
)

// Two pools share the workers of one executor.
func ExampleExecutor() {
	e := antspool.New(antspool.Options{Workers: 16})
	defer e.Close()
	sum := 0
	for n := range 2 {
		pool, err := async.NewPool(async.PoolOptions{Executor: e})
		if err != nil {
			log.Fatal(err)
		}
		v, err := async.Go(context.Background(), pool, func(context.Context) (int, error) { return n + 20, nil }).Await(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		sum += v
		if err := pool.Close(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(sum)
	// Output: 41
}
