package core_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// One reader of a file waits for the device at a time. The next one follows when that
// has come back, or when it has waited for its turn for long. What could not be
// begun, and a large read, wait for no turn.
func TestReadersTakeTurns(t *testing.T) {
	if err := reading(t, pattern(64*KiB, 1), core.Options{}).Advise(core.AdviceWillNeed, 0, 1); err != nil {
		t.Skip(err) // no read can be begun, so all are as those that were refused
	}
	want := pattern(MiB, 1)
	for name, c := range map[string]struct {
		length  int64
		calls   int32 // of preads by one reader
		refused bool  // to begin a read
		turns   bool
	}{
		"two pages":      {8 * KiB, 2, false, true},
		"without advice": {8 * KiB, 2, true, false},
		"256 KiB":        {256 * KiB, 1, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(sys.Disable(sys.CallReadNowait)) // as if nothing were in memory
			synctest.Test(t, func(t *testing.T) {
				f := opened(t, tempFile(t, want), core.Options{Reads: core.ViaCall})
				var calls atomic.Int32
				free := make(chan struct{})
				defer sys.Inject(func(op sys.Op) error {
					switch {
					case op == sys.OpMadvise && c.refused:
						return errors.ErrUnsupported
					case op == sys.OpPread && calls.Add(1) == c.calls:
						<-free // the first reader waits for the device
					}
					return nil
				})()
				begin := func(reader int64) {
					go func() {
						b, off := make([]byte, c.length), reader*c.length
						if n, err := f.ReadAt(b, off); n != len(b) || err != nil || !bytes.Equal(b, want[off:off+c.length]) {
							t.Errorf("reader %d: %d of %d bytes, %v, or other ones", reader, n, len(b), err)
						}
					}()
					synctest.Wait()
				}
				made := func(what string, want int32) {
					synctest.Wait()
					if n := calls.Load(); n != want {
						t.Errorf("%s: %d calls, want %d", what, n, want)
					}
				}
				begin(0)
				made("the first reader", c.calls)
				begin(1)
				if !c.turns {
					made("beside another one", 2*c.calls)
					close(free)
					return
				}
				made("before its turn", c.calls+1)
				time.Sleep(time.Second)
				made("after long", 2*c.calls)
				begin(2)
				made("before its turn", 2*c.calls+1)
				close(free)
				made("at its turn", 3*c.calls)
			})
		})
	}
}
