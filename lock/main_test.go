package lock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// What a second process of this test binary is to do, in its environment.
const (
	fileEnv = "LOCK_TEST_FILE"
	kindEnv = "LOCK_TEST_KIND"
	modeEnv = "LOCK_TEST_MODE" // how to lock the file until the input ends, or
	addEnv  = "LOCK_TEST_ADD"  // how often to add one to the number in it
)

func TestMain(m *testing.M) {
	if name := os.Getenv(fileEnv); name != "" {
		if err := secondProcess(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	testutil.VerifyMain(m)
}

func secondProcess(name string) error {
	k := kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.name == os.Getenv(kindEnv) })]
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if n, err := strconv.Atoi(os.Getenv(addEnv)); err == nil {
		fmt.Println("adding")
		return add(k.lock(f, 0), f, n)
	}
	l, m := k.lock(f, 0), lock.Shared
	if os.Getenv(modeEnv) == lock.Exclusive.String() {
		m = lock.Exclusive
	}
	if err := l.Acquire(context.Background(), m); err != nil {
		return err
	}
	fmt.Println("held")
	io.Copy(io.Discard, os.Stdin)
	return l.Release()
}

// add adds one to the decimal number in f, n times, each time under l.
func add(l *lock.Lock, f *os.File, n int) error {
	for range n {
		if err := l.Acquire(context.Background(), lock.Exclusive); err != nil {
			return err
		}
		var b [10]byte
		if _, err := f.ReadAt(b[:], 0); err != nil {
			return err
		}
		v, err := strconv.Atoi(string(b[:]))
		if err != nil {
			return err
		}
		if _, err := f.WriteAt(fmt.Appendf(nil, "%010d", v+1), 0); err != nil {
			return err
		}
		if err := l.Release(); err != nil {
			return err
		}
	}
	return nil
}

// second is the command of a second process that works on name with locks of
// kind k.
func (k kind) second(name, env string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fileEnv+"="+name, kindEnv+"="+k.name, env, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// A process is one that holds a lock until its input ends.
type process struct {
	cmd *exec.Cmd
	in  io.Closer
}

// startHolder starts a second process that holds name in mode m.
func startHolder(t *testing.T, k kind, name string, m lock.Mode) *process {
	t.Helper()
	return startProcess(t, k.second(name, modeEnv+"="+m.String()))
}

// startProcess starts cmd, and returns when it has written a line.
func startProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	testutil.RequireProcesses(t)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, in}
	t.Cleanup(p.kill)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the second process said %q, %v", line, err)
	}
	return p
}

// finish lets the process end by itself.
func (p *process) finish(t *testing.T) {
	t.Helper()
	p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("second process: %v", err)
	}
}

// kill ends it on the spot; a process that has ended is left alone.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	}
}

func tempFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func open(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// A kind is one of the two kinds of locks; most behaviour is the same and is
// tested for both.
type kind struct {
	name string
	op   sys.Op // its system call, for sys.Inject
	// lock returns a lock on f of which all overlap, and all that are made with
	// other numbers are not the same bytes.
	lock func(f *os.File, i int64) *lock.Lock
	// outsider is what another process would do: it asks the system alone.
	outsider func(fl *sys.FileLock, m sys.LockMode) error
}

var kinds = []kind{
	{
		name:     "whole",
		op:       sys.OpFlock,
		lock:     func(f *os.File, _ int64) *lock.Lock { return lock.New(f) },
		outsider: (*sys.FileLock).Set,
	},
	{
		name:     "range",
		op:       sys.OpOFD,
		lock:     func(f *os.File, i int64) *lock.Lock { return lock.New(f).Range(100-i, 100) },
		outsider: func(fl *sys.FileLock, m sys.LockMode) error { return fl.SetRange(0, 199, m) },
	},
}

// each runs test for both kinds of locks, where the platform has them.
func each(t *testing.T, test func(t *testing.T, k kind)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			k.require(t)
			before := lock.Entries() // of a test that has failed
			test(t, k)
			if n := lock.Entries(); n > before {
				t.Errorf("%d entries are left in the table", n-before)
			}
		})
	}
}

// still is each in a bubble in which no time passes while anybody can run: what
// is due at once is done at once. A test that has subtests makes the bubbles
// itself.
func still(t *testing.T, test func(t *testing.T, k kind)) {
	each(t, func(t *testing.T, k kind) {
		synctest.Test(t, func(t *testing.T) { test(t, k) })
	})
}

func (k kind) require(t testing.TB) {
	t.Helper()
	l := k.lock(open(t, tempFile(t)), 0)
	if err := l.Try(lock.Shared); errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("no such locks on this platform: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	release(t, l)
}

// stranger opens name for calls that ask the system alone, as another process
// would.
func stranger(t testing.TB, name string) *sys.FileLock {
	t.Helper()
	fl, err := sys.NewFileLock(open(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return fl
}

func try(t testing.TB, l *lock.Lock, m lock.Mode) {
	t.Helper()
	if err := l.Try(m); err != nil {
		t.Fatalf("Try(%v) = %v", m, err)
	}
}

func release(t testing.TB, l *lock.Lock) {
	t.Helper()
	if err := l.Release(); err != nil {
		t.Fatalf("Release() = %v", err)
	}
}

func wantHeld(t testing.TB, l *lock.Lock, want lock.Mode) {
	t.Helper()
	if m, held := l.Held(); m != want || held != (want != 0) {
		t.Errorf("Held() = %v, %v; want %v", m, held, want)
	}
}

// wantErr also checks the form that all errors have.
func wantErr(t testing.TB, err error, op string, want ...error) {
	t.Helper()
	var pe *os.PathError
	if !errors.As(err, &pe) || pe.Op != op || pe.Path == "" {
		t.Errorf("error %#v is no PathError of %q with a path", err, op)
	}
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("got error %v, want %v", err, w)
		}
	}
}
