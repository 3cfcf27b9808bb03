package lock_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// TestOtherProcess: a second process of this test binary is kept out, keeps
// out, and hands over when it is done.
func TestOtherProcess(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		l := k.lock(open(t, name), 0)
		other := startHolder(t, k, name, lock.Shared)
		try(t, l, lock.Shared)
		err := l.Try(lock.Exclusive)
		wantErr(t, err, "lock", lock.ErrLocked)
		if errors.Is(err, lock.ErrLockedHere) {
			t.Errorf("Try = %v, though another process holds the lock", err)
		}
		wantHeld(t, l, lock.Shared)
		outcome := start(t, l, lock.Exclusive)
		wantWaiting(t, outcome)
		other.finish(t)
		if err := <-outcome; err != nil {
			t.Fatal(err)
		}
		release(t, l)
		other = startHolder(t, k, name, lock.Exclusive)
		wantErr(t, l.Try(lock.Shared), "lock", lock.ErrLocked)
		other.finish(t)
		try(t, l, lock.Exclusive)
		release(t, l)
	})
}

// TestKilledHolderLeavesTheLockFree: SIGKILL, so that nothing of the holder
// runs any more.
func TestKilledHolderLeavesTheLockFree(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		l := k.lock(open(t, name), 0)
		const kills = 20
		var waits []time.Duration
		for range kills {
			other := startHolder(t, k, name, lock.Exclusive)
			outcome := start(t, l, lock.Exclusive)
			wantWaiting(t, outcome)
			killed := time.Now()
			other.kill()
			if err := <-outcome; err != nil {
				t.Fatal(err)
			}
			waits = append(waits, time.Since(killed))
			release(t, l)
		}
		slices.Sort(waits)
		t.Logf("held %v after the kill in the median of %d, %v at the latest", waits[kills/2], kills, waits[kills-1])
	})
}

// TestProcessesAddUp: goroutines of several processes add to one number in the
// file, and no addition is lost.
func TestProcessesAddUp(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		if err := os.WriteFile(name, []byte("0000000000"), 0); err != nil {
			t.Fatal(err)
		}
		const processes, goroutines, additions = 2, 4, 250
		others := make([]*process, processes)
		for i := range others {
			others[i] = startProcess(t, k.second(name, addEnv+"="+fmt.Sprint(additions)))
		}
		var wg sync.WaitGroup
		for i := range goroutines {
			f := open(t, name)
			wg.Go(func() {
				if err := add(k.lock(f, int64(i)), f, additions); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, p := range others {
			p.finish(t)
		}
		got, err := os.ReadFile(name)
		if want := fmt.Sprintf("%010d", (processes+goroutines)*additions); string(got) != want || err != nil {
			t.Errorf("the sum is %q, %v; want %s", got, err, want)
		}
	})
}

// TestFlockCommand: flock(1) of util-linux, in both directions.
func TestFlockCommand(t *testing.T) {
	testutil.RequireTool(t, "flock")
	name := tempFile(t)
	l := lock.New(open(t, name))
	theirs := func(mode string) error { return exec.Command("flock", "-n", mode, name, "true").Run() }
	for _, tt := range []struct {
		m                 lock.Mode
		shared, exclusive bool // whether they get it
	}{{lock.Shared, true, false}, {lock.Exclusive, false, false}, {0, true, true}} {
		if tt.m != 0 {
			try(t, l, tt.m)
		}
		if err := theirs("-s"); (err == nil) != tt.shared {
			t.Errorf("flock -s beside %v: %v", tt.m, err)
		}
		if err := theirs("-x"); (err == nil) != tt.exclusive {
			t.Errorf("flock -x beside %v: %v", tt.m, err)
		}
		if tt.m != 0 {
			release(t, l)
		}
	}
	other := startProcess(t, exec.Command("flock", "-x", name, "sh", "-c", "echo held; cat"))
	wantErr(t, l.Try(lock.Shared), "lock", lock.ErrLocked)
	outcome := start(t, l, lock.Shared)
	wantWaiting(t, outcome)
	other.finish(t)
	if err := <-outcome; err != nil {
		t.Fatal(err)
	}
	release(t, l)
}

// TestGoCommandWaitsForUs: the go command locks the go.mod that it edits.
func TestGoCommandWaitsForUs(t *testing.T) {
	kinds[0].require(t)
	if _, err := os.Stat("/proc/locks"); err != nil {
		t.Skipf("waiting for a lock is not visible here: %v", err)
	}
	testutil.RequireTool(t, "go")
	name := filepath.Join(t.TempDir(), "go.mod")
	if err := os.WriteFile(name, []byte("module old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range []lock.Mode{lock.Exclusive, lock.Shared} { // it reads first, sharing
		l := lock.New(open(t, name))
		try(t, l, m)
		module := "after-" + m.String()
		cmd := goCommand(t, "mod", "edit", "-module="+module, name)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }() // ends with the command
		awaitBlocked(t, cmd.Process.Pid, done)
		if b, err := os.ReadFile(name); err != nil || bytes.Contains(b, []byte(module)) {
			t.Errorf("edited under our %v lock: %q, %v", m, b, err)
		}
		release(t, l)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(name); err != nil || !bytes.Contains(b, []byte(module)) {
			t.Errorf("not edited after the release: %q, %v", b, err)
		}
	}
}

// TestWeWaitForGoCommand: the go command locks a file of the module cache for
// as long as it downloads that module. It is kept there by a proxy whose
// archive is a pipe that says nothing.
func TestWeWaitForGoCommand(t *testing.T) {
	kinds[0].require(t)
	testutil.RequireTool(t, "go")
	proxy := t.TempDir()
	versions := filepath.Join(proxy, "example.com", "m", "@v")
	if err := os.MkdirAll(versions, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"info": `{"Version":"v1.0.0","Time":"2020-01-01T00:00:00Z"}`, "mod": "module example.com/m\n"} {
		if err := os.WriteFile(filepath.Join(versions, "v1.0.0."+name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	archive := filepath.Join(versions, "v1.0.0.zip")
	if out, err := exec.Command(testutil.RequireTool(t, "mkfifo"), archive).CombinedOutput(); err != nil {
		t.Fatalf("mkfifo: %v: %s", err, out)
	}
	cache := t.TempDir()
	cmd := goCommand(t, "mod", "download", "example.com/m@v1.0.0")
	cmd.Env = append(cmd.Env, "GOPROXY=file://"+proxy, "GOMODCACHE="+cache,
		"GOFLAGS=-modcacherw", "GOSUMDB=off", "GONOSUMDB=*", "GOPRIVATE=", "GONOPROXY=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }() // ends with the command
	opened := make(chan *os.File, 1)
	go func() { // ends when the go command reads the archive, under the lock
		f, err := os.OpenFile(archive, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
		}
		opened <- f
	}()
	var pipe *os.File
	select {
	case pipe = <-opened:
	case err := <-done:
		reader, _ := os.Open(archive) // for the goroutine
		(<-opened).Close()
		reader.Close()
		t.Fatalf("go mod download ended early: %v", err)
	}
	defer pipe.Close()
	name := filepath.Join(cache, "cache", "download", "example.com", "m", "@v", "v1.0.0.lock")
	l := lock.New(open(t, name))
	wantErr(t, l.Try(lock.Shared), "lock", lock.ErrLocked)
	outcome := start(t, l, lock.Exclusive)
	wantWaiting(t, outcome)
	pipe.Close() // an empty archive is none
	if err := <-outcome; err != nil {
		t.Fatal(err)
	}
	release(t, l)
	if err := <-done; err == nil {
		t.Error("go mod download succeeded without an archive")
	}
}

func goCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOTOOLCHAIN=local", "GOFLAGS=")
	return cmd
}

// awaitBlocked waits until the process is listed as one that waits for a lock.
func awaitBlocked(t *testing.T, pid int, done <-chan error) {
	t.Helper()
	for {
		b, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) > 5 && f[1] == "->" && slices.Contains(f, fmt.Sprint(pid)) {
				return
			}
		}
		select {
		case err := <-done:
			t.Fatalf("the process did not wait for the lock: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
}
