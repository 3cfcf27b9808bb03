package antspool_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/async/antspool"
)

// A program that allows itself a hundred goroutines for all its pools.
func ExampleOptions() {
	e := antspool.New(antspool.Options{Workers: 100, IdleTime: 10 * time.Second})
	defer e.Close()
	done := make(chan struct{})
	if err := e.Submit(func() { close(done) }); err != nil {
		log.Fatal(err)
	}
	<-done
	fmt.Println("ran on a worker")
	// Output: ran on a worker
}

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
