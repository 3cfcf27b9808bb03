// Command elsewhere runs the tests of the library, compiled once, in the
// surroundings in which other people run them: as an ordinary user with the
// programs of a small container, without capabilities and devices, on other
// file systems, within limits. Each row of the table in rows.go is one of them.
// What this machine cannot build is left out with the reason, which is a
// failure where FMMAP_CI=1. It is run in the root of the repository:
//
//	go run -C internal/tools ./elsewhere [row...]
//
// Afterwards nothing is left: no file, mount, loop device or process.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == stageArg {
		fail(stage(os.Args[2:]))
	}
	inner := flag.String("inner", "", "carry out one row in `dir`, in this process")
	flag.Parse()
	if *inner != "" {
		fail(carryOut(*inner, flag.Arg(0)))
		return
	}
	fail(all(flag.Args()))
}

func fail(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// all carries out the rows of these names, or every row.
func all(names []string) (err error) {
	for _, n := range names {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == n }) {
			return fmt.Errorf("there is no row %q", n)
		}
	}
	root, err := filepath.Abs("../..") // go run -C
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fmmap-elsewhere-")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, removed(dir), left(dir))
	}()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := prepare(ctx, root, dir); err != nil {
		return err
	}
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex // guards failed and the output
		failed int
		slots  = make(chan struct{}, 4) // tests wait for disks, clocks and each other most of the time
	)
	for _, r := range rows {
		if len(names) > 0 && !slices.Contains(names, r.name) {
			continue
		}
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			out, ok := carriedOut(ctx, dir, r)
			mu.Lock()
			defer mu.Unlock()
			if !ok {
				failed++
			}
			fmt.Printf("%s (%.0f s)\n", bytes.TrimSpace(out), time.Since(began).Seconds())
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failed > 0 {
		return fmt.Errorf("%d rows failed", failed)
	}
	return nil
}

// removed removes dir. The processes of a row that was cut short are killed with
// it, but may still write for a moment.
func removed(dir string) (err error) {
	for range 100 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// left returns an error if there are loop devices of files in dir, or mounts. Those of
// other programs, which may run meanwhile, do not count.
func left(dir string) error {
	below := []byte(dir + "/")
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, name := range loops {
		// One that is detached meanwhile has no such file any more.
		if file, _ := os.ReadFile(name); bytes.HasPrefix(file, below) {
			err = errors.Join(err, fmt.Errorf("left behind: a loop device of %s", bytes.TrimSpace(file)))
		}
	}
	mounts, e := os.ReadFile("/proc/self/mounts")
	err = errors.Join(err, e)
	for line := range bytes.Lines(mounts) {
		if bytes.Contains(line, below) {
			err = errors.Join(err, fmt.Errorf("left behind: the mount %s", bytes.TrimSpace(line)))
		}
	}
	return err
}

// prepare copies the repository into dir/src and compiles its tests into
// dir/bin.
func prepare(ctx context.Context, root, dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil { // for another user
		return err
	}
	list, err := output(ctx, root, "git", "ls-files", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return err
	}
	for name := range strings.Lines(list) {
		name = strings.TrimSuffix(name, "\n")
		b, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) { // removed, and not yet committed
			continue
		}
		to := filepath.Join(dir, "src", name)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, b, 0o644)); err != nil {
			return err
		}
	}
	// Of two packages whose programs have one name, the root and cmd/fmmap, only
	// the latter has tests.
	packages, err := output(ctx, root, "go", "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}", "./...")
	if err != nil {
		return err
	}
	build := []string{"test", "-c", "-vet=off", "-o", filepath.Join(dir, "bin") + "/"}
	if _, err := output(ctx, root, "go", append(build, strings.Fields(packages)...)...); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "packages"), []byte(packages), 0o644)
}

// output runs a command in a folder and returns its standard output.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, errs.Bytes())
	}
	return string(out), err
}

// carriedOut carries out a row in a process of its own, which is in a mount
// namespace of its own where that may be.
func carriedOut(ctx context.Context, dir string, r row) (out []byte, ok bool) {
	if r.root && os.Geteuid() != 0 {
		return fmt.Appendf(nil, "--    %s: left out, it needs root", r.name), os.Getenv("FMMAP_CI") != "1"
	}
	self, err := os.Executable()
	if err != nil {
		return []byte(err.Error()), false
	}
	cmd := exec.CommandContext(ctx, self, "-inner", dir, r.name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // and nothing propagates from it
	}
	out, err = cmd.CombinedOutput()
	return out, err == nil
}
