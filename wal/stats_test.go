package wal_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// A flush that fails ends the log, and the statistics have the error from then on,
// also once the log is closed.
func TestStatsHaveTheFailure(t *testing.T) {
	l := open(t, memoryDir(t), small)
	if _, err := l.Write(bg, []byte("whole")); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.LastError != "" {
		t.Errorf("an error before any: %s", s.LastError)
	}
	gone := errors.New("the device is gone")
	restore := sys.Inject(func(op sys.Op) error {
		if op == sys.OpMsync {
			return gone
		}
		return nil
	})
	t.Cleanup(restore)
	_, err := l.Write(bg, []byte("lost"))
	restore()
	if !errors.Is(err, gone) {
		t.Fatalf("got %v, want %v", err, gone)
	}
	_ = l.Close()
	if s := l.Stats(); !strings.Contains(s.LastError, gone.Error()) || s.Commits != 1 || s.Run.Count() != 2 {
		t.Errorf("last error %q, %d commits, %d flushes, want %q, 1, 2", s.LastError, s.Commits, s.Run.Count(), gone)
	}
}
