package flush_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/flush"
)

// TestCallersInStepShareBatches: callers that each flush again and again are
// all members of each batch, and not of two batches that take turns, as they
// would be if a batch were sealed as soon as the one before it is over.
func TestCallersInStepShareBatches(t *testing.T) {
	for _, e := range executors[:2] {
		for _, callers := range []int{2, 8, 64} {
			t.Run(fmt.Sprintf("%s/callers=%d", e.name, callers), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const rounds = 50
					c := flush.NewCommitter(&recorder{flush: func(int, rng) error {
						time.Sleep(time.Millisecond)
						return nil
					}}, flush.Options{Execute: e.execute})
					var wg sync.WaitGroup
					for i := range callers {
						wg.Go(func() {
							for range rounds {
								if err := c.Commit(int64(i), 1).Wait(t.Context()); err != nil {
									t.Error(err)
								}
							}
						})
					}
					wg.Wait()
					if err := c.Close(); err != nil {
						t.Error(err)
					}
					// Without waiting for joiners the mean is about half of
					// callers.
					if mean := c.Stats().MeanBatch; mean < 0.8*float64(callers) {
						t.Errorf("%.1f members per batch", mean)
					}
				})
			})
		}
	}
}
