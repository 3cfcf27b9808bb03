//go:build !linux

package systest

import (
	"errors"
	"math"
	"os"
)

var (
	errNoSuchType = errors.ErrUnsupported
	errBusy       = errors.New("busy")
)

func privateMounts() error                            { return errors.ErrUnsupported }
func mount(source, dir, fstype, options string) error { return errors.ErrUnsupported }
func unmount(dir string, detach bool) error           { return errors.ErrUnsupported }
func attachLoop(image string) (*os.File, error)       { return nil, errors.ErrUnsupported }
func evict(f *os.File) error                          { return errors.ErrUnsupported }
func shutDown(f *os.File) error                       { return errors.ErrUnsupported }
func setAppend(f *os.File) error                      { return errors.ErrUnsupported }
func fileSystem(path string) (string, error)          { return "other", nil }
func descriptors() (int, error)                       { return math.MaxInt32, nil }
func limitAddressSpace(bytes uint64) error            { return errors.ErrUnsupported }
func addressSpace() (uint64, error)                   { return math.MaxUint64, nil }
