package disk

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// Options say what disk to make.
type Options struct {
	Size int64  // in bytes
	Dir  string // where to keep what is on the disk; "" means /dev/shm, so that nothing is slow by itself
	// NoLog does without the log: there can be no cuts, and writing takes no
	// memory.
	NoLog bool
	// Queue is how many reads ahead the kernel queues for the disk before it makes
	// the caller wait: 512 if it is 0, where the default of FUSE is 12.
	Queue int
}

// A Disk is a disk served by another process. Its methods may be called by many
// goroutines.
type Disk struct {
	dir  string
	size int64

	mu      sync.Mutex // one command at a time; guards all below
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
	stderr  bytes.Buffer // read only after the end of cmd
	mounted bool         // a file system is
	cutter  *Cutter      // of Cut, nil before
	closed  bool
}

// Start makes a disk for a test, which is skipped (see [testutil.CIEnv]) where
// that is impossible, and closes it after the test.
func Start(t testing.TB, size int64) *Disk {
	t.Helper()
	return StartAs(t, Options{Size: size})
}

// StartAs is Start with options.
func StartAs(t testing.TB, o Options) *Disk {
	t.Helper()
	Require(t)
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Require skips the test where no disk can be made, or fails it (see
// [testutil.CIEnv]).
func Require(t testing.TB) {
	t.Helper()
	testutil.RequireMounts(t)
	testutil.RequireDevice(t, "/dev/fuse")
	testutil.RequireLoop(t)
}

// New makes a disk full of zeroes, which must be closed.
func New(o Options) (d *Disk, err error) {
	if o.Dir == "" {
		o.Dir = "/dev/shm"
	}
	d = &Disk{size: o.Size}
	if d.dir, err = os.MkdirTemp(o.Dir, "fmmap-disk-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(d.dir)
		}
	}()
	for _, name := range []string{fuseName, mntName} {
		if err := os.Mkdir(filepath.Join(d.dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{liveName, baseName} {
		if err := sparse(filepath.Join(d.dir, name), o.Size); err != nil {
			return nil, err
		}
	}
	return d, d.serve(!o.NoLog, cmp.Or(o.Queue, 512))
}

// sparse makes a file of zeroes.
func sparse(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// serve starts the server and waits until the disk is there. The server ends
// with its input.
func (d *Disk) serve(logging bool, queue int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d.cmd = exec.Command(self)
	d.cmd.Env = append(os.Environ(), dirEnv+"="+d.dir, queueEnv+"="+strconv.Itoa(queue), testutil.RaceEnv())
	if logging {
		d.cmd.Env = append(d.cmd.Env, logEnv+"=1")
	}
	d.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true} // no interrupt from the keyboard reaches it
	d.cmd.Stderr = &d.stderr
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	d.out = json.NewDecoder(bufio.NewReader(out))
	if err := d.cmd.Start(); err != nil {
		return err
	}
	if err := d.out.Decode(&response{}); err != nil {
		d.in.Close()
		return fmt.Errorf("no disk: %w", errors.Join(err, d.ended()))
	}
	return nil
}

// ended waits for the server's end and returns its outcome.
func (d *Disk) ended() error {
	err := d.cmd.Wait()
	if d.stderr.Len() > 0 {
		err = errors.Join(err, errors.New(d.stderr.String()))
	}
	return err
}

// ask carries out a command.
func (d *Disk) ask(c command) (Stats, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return Stats{}, os.ErrClosed
	}
	b, err := json.Marshal(c)
	if err != nil {
		return Stats{}, err
	}
	var a response
	if _, err = d.in.Write(append(b, '\n')); err == nil {
		err = d.out.Decode(&a)
	}
	if err == nil && a.Err != "" {
		err = errors.New(a.Err)
	}
	if err != nil {
		err = fmt.Errorf("disk %s: %w", c.Do, err)
	}
	return a.Stats, err
}

// Dir is the directory that the program shares with the server; see
// [OpenPosition].
func (d *Disk) Dir() string { return d.dir }

// Size is the size of the disk in bytes.
func (d *Disk) Size() int64 { return d.size }

// File is the path of the disk as one file, which can be mapped, truncated and
// read by many at once. It must not be used while a file system is mounted on
// the disk.
func (d *Disk) File() string { return filepath.Join(d.dir, fuseName, fileName) }

// Fail adds a fault. Of several faults about one operation the first decides.
func (d *Disk) Fail(f Fault) error {
	_, err := d.ask(command{Do: doFail, Fault: f})
	return err
}

// Heal removes all faults.
func (d *Disk) Heal() error {
	_, err := d.ask(command{Do: doHeal})
	return err
}

// Delay makes each operation of the kind take that much longer; operations are
// delayed side by side.
func (d *Disk) Delay(op Op, by time.Duration) error {
	_, err := d.ask(command{Do: doDelay, Op: op, Delay: by})
	return err
}

// Hold makes operations of the kind wait until it is called again with false. A
// flush that is held covers what was written before it was held.
func (d *Disk) Hold(op Op, on bool) error {
	_, err := d.ask(command{Do: doHold, Op: op, On: on})
	return err
}

// HoldFor holds operations of the kind until Hold ends that, or for so long: a
// program that may be held up by what is held cannot rely on ending it.
func (d *Disk) HoldFor(op Op, by time.Duration) error {
	_, err := d.ask(command{Do: doHold, Op: op, On: true, Delay: by})
	return err
}

// Lie makes flushes succeed without anything becoming durable.
func (d *Disk) Lie(on bool) error {
	_, err := d.ask(command{Do: doLie, On: on})
	return err
}

// Stats returns what the disk has been asked so far.
func (d *Disk) Stats() (Stats, error) { return d.ask(command{Do: doStats}) }

// Close unmounts what is mounted, ends the server and removes everything. The
// error names what could not be ended properly.
func (d *Disk) Close() error {
	// Nothing may keep the file system from being unmounted. What fails here
	// fails again below.
	for _, op := range []Op{Read, Write, Flush} {
		_ = d.Hold(op, false)
		_ = d.Delay(op, 0)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return os.ErrClosed
	}
	d.closed = true
	err := errors.Join(d.dropped(), d.unmount())
	d.in.Close()
	return errors.Join(err, d.ended(), os.RemoveAll(d.dir)) // which the server has removed, if it was well
}
