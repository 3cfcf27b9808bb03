package main

import (
	"context"
	"fmt"

	"github.com/panjf2000/ants/v2"
	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/async"
)

// futures: tasks that do almost nothing, started and awaited one at a time or
// 256 together.
func futures() (ws []workload) {
	for _, n := range []int{1, 256} {
		ws = append(ws, workload{name: fmt.Sprintf("future/%d", n), unit: "ns", open: func(c config) ([]side, func(), error) { return openFutures(c, n) }})
	}
	return ws
}

func openFutures(c config, together int) ([]side, func(), error) {
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		return nil, nil, err
	}
	workers, err := ants.NewPool(-1)
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	task := func(i int) int { return i + 1 }
	times := func(name string, batch func() error) side {
		return side{name, func() (float64, error) {
			v, err := c.each(func(n int) error {
				for range n {
					if err := batch(); err != nil {
						return err
					}
				}
				return nil
			})
			return v / float64(together), err
		}}
	}
	fs := make([]*async.Future[int], together)
	chans := make([]chan int, together)
	return []side{
		times("fmmap", func() error {
			for i := range fs {
				fs[i] = async.Go(ctx, pool, func(context.Context) (int, error) { return task(i), nil })
			}
			for _, f := range fs {
				if err := f.Wait(); err != nil {
					return err
				}
			}
			return nil
		}),
		times("go + channel", func() error {
			for i := range chans {
				ch := make(chan int, 1)
				chans[i] = ch
				go func() { ch <- task(i) }()
			}
			for _, ch := range chans {
				<-ch
			}
			return nil
		}),
		times("errgroup", func() error {
			var g errgroup.Group
			for i := range chans {
				g.Go(func() error { task(i); return nil })
			}
			return g.Wait()
		}),
		times("ants + channel", func() error {
			for i := range chans {
				ch := make(chan int, 1)
				chans[i] = ch
				if err := workers.Submit(func() { ch <- task(i) }); err != nil {
					return err
				}
			}
			for _, ch := range chans {
				<-ch
			}
			return nil
		}),
	}, func() { _ = pool.Close(); workers.Release() }, nil
}
