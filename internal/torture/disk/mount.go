package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// Mount makes a file system on the disk (ext4 or xfs), mounts it through a loop
// device and returns where. What was on the disk is gone, and the log begins
// with the mounting; cutters that were made before are void.
func (d *Disk) Mount(fstype string) (dir string, err error) {
	if err := d.dropCutter(); err != nil {
		return "", err
	}
	base := filepath.Join(d.dir, baseName)
	if err := testutil.MakeImage(base, fstype, d.size); err != nil {
		return "", err
	}
	if err := copySparse(filepath.Join(d.dir, liveName), base); err != nil {
		return "", err
	}
	if _, err := d.ask(command{Do: doReset}); err != nil {
		return "", err
	}
	return d.Remount(fstype)
}

// Remount mounts the file system that is on the disk already, after
// [Disk.Unmount].
func (d *Disk) Remount(fstype string) (dir string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mounted {
		return "", errors.New("a file system is mounted already")
	}
	dir = filepath.Join(d.dir, mntName)
	if err := testutil.MountImage(filepath.Join(d.dir, fuseName, rawName), fstype, dir); err != nil {
		return "", err
	}
	d.mounted = true
	return dir, nil
}

// Unmount unmounts the file system, which writes what it has still in memory.
func (d *Disk) Unmount() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unmount()
}

// unmount does it if something is mounted. d.mu is held.
func (d *Disk) unmount() error {
	if !d.mounted {
		return nil
	}
	d.mounted = false
	return testutil.Unmount(filepath.Join(d.dir, mntName))
}

// copySparse makes dst the same as src, which is as long, leaving holes where
// src has them.
func copySparse(dst, src string) error {
	from, err := os.Open(src)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(dst, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer to.Close()
	fi, err := from.Stat()
	if err != nil {
		return err
	}
	// The holes of dst come from making it empty for a moment.
	if err := errors.Join(to.Truncate(0), to.Truncate(fi.Size())); err != nil {
		return err
	}
	return allocated(from, func(off, n int64) error {
		_, err := io.Copy(io.NewOffsetWriter(to, off), io.NewSectionReader(from, off, n))
		return err
	})
}

// allocated calls do for each stretch of the file that is no hole.
func allocated(f *os.File, do func(off, n int64) error) error {
	for off := int64(0); ; {
		data, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("seek data: %w", err)
		}
		if off, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE); err != nil {
			return fmt.Errorf("seek hole: %w", err)
		}
		if err := do(data, off-data); err != nil {
			return err
		}
	}
}
