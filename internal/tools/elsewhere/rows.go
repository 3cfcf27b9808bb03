package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"
)

// A row is one kind of surroundings.
type row struct {
	name string
	root bool   // it can be built by root alone
	user bool   // the tests run as another user
	bare bool   // PATH has the programs of busybox and no others
	tmp  string // the name of the temporary directory below the row's own
	// build makes the surroundings, in the row's own mount namespace. tmp is
	// the temporary directory of the tests.
	build   func(dir, tmp string) error
	stage   stageOptions // limits of the tests' processes
	env     []string
	flags   []string               // of the tests
	full    bool                   // without -short
	sources bool                   // with the packages of ofSources
	run     func(dir string) error // instead of the compiled tests
}

// ofSources matches the packages whose tests are about documents, examples and
// rules for the sources. They are in the rows about users and paths alone, where
// they can differ.
var ofSources = regexp.MustCompile(`^(docs|examples/.*|internal/lint)$`)

// rows is the table. What takes long in a test is its load, which -short cuts
// down: only the two rows that most people have are full. Where one kind of
// package is at risk, the others are left out, and the row says why.
var rows = []row{
	// Order and repetition say nothing new about how much a test does. It is first,
	// so that others run beside it to its end.
	{name: "any order, three times", flags: []string{"-test.shuffle=on", "-test.count=3"}},
	{name: "ordinary user, programs of busybox", root: true, user: true, bare: true, full: true, sources: true},
	{name: "ordinary user", user: true},
	{name: "root, programs of busybox", root: true, bare: true},
	{name: "no programs at all", user: true, env: []string{"PATH="}},
	{name: "container", root: true, bare: true, full: true, build: container, stage: stageOptions{drop: capsOfContainer}},
	{name: "no capabilities", root: true, stage: stageOptions{drop: allCaps}},
	{name: "temporary directory on tmpfs", root: true, build: onTmpfs},
	{name: "temporary directory on overlayfs", root: true, build: onOverlay},
	{name: "temporary directory with a space and umlauts", tmp: "große Dateien", sources: true},
	{name: "64 descriptors", stage: stageOptions{descriptors: 64}},
	{name: "4 GiB of address space", stage: stageOptions{addressSpace: 4 << 30, drop: capResource}},
	// The tests left out are those of mincore itself, and of a file that no look may
	// read ahead, as preadv2 does in its place.
	{
		name: "mincore refused", env: []string{"FMMAP_REFUSE=mincore=EPERM"},
		flags: []string{"-test.skip=^(TestPopulateLarge|TestResident|TestResidentInPieces|TestResidentTellsNoStranger|TestCold)$"},
	},
	{name: "one processor", env: []string{"GOMAXPROCS=1"}},
	// What reads the sources or runs the go command is at risk; the rest is
	// compiled.
	{name: "vendored", run: vendored},
}

// The capabilities that a stage drops.
const (
	allCaps         = "all"
	capsOfContainer = "container" // those that a container of Docker lacks
	capResource     = "resource"
)

// container takes away the devices and the writable settings of the kernel, as
// a container that is not privileged has it.
func container(dir, _ string) error {
	dev := filepath.Join(dir, "dev")
	if err := os.Mkdir(dev, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dev, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		to := filepath.Join(dev, name)
		if err := errors.Join(os.WriteFile(to, nil, 0o666), unix.Mount("/dev/"+name, to, "", unix.MS_BIND, "")); err != nil {
			return err
		}
	}
	return errors.Join(
		os.Symlink("/proc/self/fd", filepath.Join(dev, "fd")),
		os.Mkdir(filepath.Join(dev, "shm"), 0o777),
		unix.Mount(dev, "/dev", "", unix.MS_MOVE, ""),
		unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""),
		unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""),
	)
}

func onTmpfs(_, tmp string) error { return unix.Mount("tmpfs", tmp, "tmpfs", 0, "mode=1777") }

func onOverlay(dir, tmp string) error {
	lower, layers := filepath.Join(dir, "lower"), filepath.Join(dir, "layers")
	upper, work := filepath.Join(layers, "upper"), filepath.Join(layers, "work")
	mount := func() error {
		for _, d := range []string{lower, upper, work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return err
			}
		}
		return unix.Mount("overlay", tmp, "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work)
	}
	if err := mount(); !errors.Is(err, unix.EINVAL) {
		return err
	}
	// The upper layer cannot be on an overlay itself.
	if err := unix.Mount("tmpfs", layers, "tmpfs", 0, ""); err != nil {
		return err
	}
	return mount()
}

// vendored copies the dependencies into the repository's copy and tests there
// what reads the sources or runs the go command.
func vendored(dir string) error {
	src := filepath.Join(dir, "vendored")
	if err := os.CopyFS(src, os.DirFS(filepath.Join(dir, "src"))); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"mod", "vendor"},
		{"build", "-mod=vendor", "./..."},
		{"test", "-mod=vendor", "-vet=off", "./internal/lint", "./docs"},
		{"test", "-mod=vendor", "-vet=off", "-short", "./lock"},
	} {
		if _, err := output(context.Background(), src, "go", args...); err != nil {
			return err
		}
	}
	return nil
}

// busybox makes a folder with the programs of busybox, to be the PATH.
func busybox(dir string) (path string, err error) {
	exe, err := exec.LookPath("busybox")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "programs")
	if err := os.Mkdir(path, 0o755); err != nil {
		return "", err
	}
	_, err = output(context.Background(), dir, exe, "--install", "-s", path)
	return path, err
}
