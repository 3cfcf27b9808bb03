package testutil_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// syncs syncs a file three times, by one thread, as strace counts by threads.
func syncs() error {
	f, err := os.Create(os.Getenv("SYNCS_TEST"))
	if err != nil {
		return err
	}
	defer f.Close()
	for range 3 {
		testutil.Say("%v", f.Sync())
	}
	testutil.Hear()
	return nil
}

func TestStraceInjects(t *testing.T) {
	p := testutil.Strace(t, "fsync:error=EIO:when=1+", "syncs", "SYNCS_TEST="+t.TempDir()+"/file")
	for range 3 {
		if line := p.Hear(); !strings.HasSuffix(line, "input/output error") {
			t.Errorf("Sync() = %s", line)
		}
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.Pid())); err != nil || !strings.HasPrefix(string(b), "testutil") {
		t.Errorf("the process that the test sees is %q, %v", b, err)
	}
	if _, err := p.Wait(); err != nil {
		t.Error(err)
	}
	p = testutil.Strace(t, "fsync:signal=KILL", "syncs", "SYNCS_TEST="+t.TempDir()+"/file")
	if _, err := p.Wait(); err == nil {
		t.Error("a process that was killed by a signal ended well")
	}
}
