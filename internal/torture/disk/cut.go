package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// chunk is the unit in which a cutter knows whether there is anything but
// zeroes.
const chunk = 64 << 10

// A Cutter builds the images that power cuts would have left, from the log of a
// disk that may be in use meanwhile. It is for one goroutine; several of one
// disk may work side by side.
type Cutter struct {
	log *reader
	dir string // its own, in that of the disk

	// base is the disk as it was when the log began, with the writes among the
	// first at records in it: a private mapping of the file, so that going back
	// costs nothing.
	base []byte
	at   int64
	used []bool // by chunk of base: there may be something in it

	file  *os.File // the image
	image []byte   // a mapping of it
	buf   []byte   // for what a write wrote
}

// NewCutter makes a cutter, which must be closed before the disk is.
func (d *Disk) NewCutter() (c *Cutter, err error) {
	c = &Cutter{}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if c.dir, err = os.MkdirTemp(d.dir, cutterName); err != nil {
		return c, err
	}
	if err = os.Mkdir(filepath.Join(c.dir, mntName), 0o755); err != nil {
		return c, err
	}
	if c.log, err = openReader(d.dir); err != nil {
		return c, err
	}
	if err = c.openBase(filepath.Join(d.dir, baseName), d.size); err != nil {
		return c, err
	}
	name := filepath.Join(c.dir, "image")
	if err = sparse(name, d.size); err != nil {
		return c, err
	}
	if c.file, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
		return c, err
	}
	c.image, err = unix.Mmap(int(c.file.Fd()), 0, int(d.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return c, os.NewSyscallError("mmap", err)
}

func (c *Cutter) openBase(name string, size int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	c.used = make([]bool, (size+chunk-1)/chunk)
	if err := allocated(f, func(off, n int64) error { c.use(off, n); return nil }); err != nil {
		return err
	}
	c.base, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	return os.NewSyscallError("mmap", err)
}

// use marks the chunks of a range.
func (c *Cutter) use(off, n int64) {
	for i := off / chunk; i*chunk < off+n; i++ {
		c.used[i] = true
	}
}

// Close releases everything, including the images that c has made.
func (c *Cutter) Close() error {
	var err error
	if c.log != nil {
		c.log.close()
	}
	if c.base != nil {
		err = errors.Join(err, unix.Munmap(c.base))
	}
	if c.image != nil {
		err = errors.Join(err, unix.Munmap(c.image))
	}
	if c.file != nil {
		err = errors.Join(err, c.file.Close())
	}
	if c.dir != "" {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

// Len returns how many records the log has now, which is the latest moment for
// a cut.
func (c *Cutter) Len() int64 { return c.log.position.Load() }

// Records returns the first n records of the log. They are not to be changed.
func (c *Cutter) Records(n int64) ([]Record, error) {
	err := c.log.read(n)
	return c.log.records[:min(n, int64(len(c.log.records)))], err
}

// Cut builds the image that a power cut could have left when the log had pos
// records, and returns its path. It is good until the next cut. The same pos
// and seed give the same image.
func (c *Cutter) Cut(pos int64, seed uint64) (image string, err error) {
	if pos < 0 {
		return "", fmt.Errorf("no such moment: %d", pos)
	}
	if err := c.log.read(pos); err != nil {
		return "", err
	}
	durable := c.log.durable[pos]
	if err := c.advance(durable); err != nil {
		return "", err
	}
	if err := c.restore(); err != nil {
		return "", err
	}
	rnd := rand.New(rand.NewPCG(seed, uint64(pos)))
	for _, r := range c.log.records[durable:pos] {
		if r.Op != Write {
			continue
		}
		if err := c.load(r); err != nil {
			return "", err
		}
		survive(c.image[r.Off:r.Off+r.Len], c.buf, rnd)
	}
	return c.file.Name(), nil
}

// survive lets a write that no flush has covered survive in whole, in part or
// not at all.
func survive(dst, src []byte, rnd *rand.Rand) {
	switch rnd.IntN(3) {
	case 0:
		copy(dst, src)
	case 1:
		for i := 0; i < len(src); i += sector {
			if end := min(i+sector, len(src)); rnd.IntN(2) == 0 {
				copy(dst[i:end], src[i:end])
			}
		}
	}
}

// advance brings base to where the writes among the first n records are in it.
func (c *Cutter) advance(n int64) error {
	if n < c.at { // back to the file; chunks that were used meanwhile are zero then, which does no harm
		if err := unix.Madvise(c.base, unix.MADV_DONTNEED); err != nil {
			return os.NewSyscallError("madvise", err)
		}
		c.at = 0
	}
	for ; c.at < n; c.at++ {
		r := c.log.records[c.at]
		if r.Op != Write {
			continue
		}
		if err := c.load(r); err != nil {
			return err
		}
		copy(c.base[r.Off:r.Off+r.Len], c.buf)
		c.use(r.Off, r.Len)
	}
	return nil
}

// load brings into buf what a write wrote.
func (c *Cutter) load(r Record) (err error) {
	if r.Off+r.Len > int64(len(c.base)) {
		return fmt.Errorf("a write of %d bytes at %d is past the end of the disk", r.Len, r.Off)
	}
	c.buf, err = c.log.bytes(r, c.buf)
	return err
}

// restore makes the image the same as base, whatever a check has done to it.
func (c *Cutter) restore() error {
	// Chunks that only the image has: the last cut's own writes, and those of
	// its mount.
	err := allocated(c.file, func(off, n int64) error {
		for i := off / chunk; i*chunk < off+n; i++ {
			if c.used[i] {
				continue
			}
			const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
			if err := unix.Fallocate(int(c.file.Fd()), mode, i*chunk, chunk); err != nil {
				return os.NewSyscallError("fallocate", err)
			}
		}
		return nil
	})
	for i, used := range c.used {
		if used {
			copy(c.image[i*chunk:min((i+1)*chunk, len(c.image))], c.base[i*chunk:])
		}
	}
	return err
}

// ErrUnmountable reports that the file system of a cut could not be mounted.
var ErrUnmountable = errors.New("the file system cannot be mounted")

// Check cuts ([Cutter.Cut]), mounts what is left, which makes the file system
// recover, calls check with the directory, and unmounts it. The error says
// which cut it was; check may write to the directory.
func (c *Cutter) Check(pos int64, seed uint64, fstype string, check func(dir string) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cut at record %d with seed %d: %w", pos, seed, err)
		}
	}()
	image, err := c.Cut(pos, seed)
	if err != nil {
		return err
	}
	dir := filepath.Join(c.dir, mntName)
	if err := testutil.MountImage(image, fstype, dir); err != nil {
		return fmt.Errorf("%w: %w", ErrUnmountable, err)
	}
	return errors.Join(check(dir), testutil.Unmount(dir))
}

// Cut is [Cutter.Cut] of a cutter of the disk's own.
func (d *Disk) Cut(pos int64, seed uint64) (image string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return "", os.ErrClosed
	}
	if d.cutter == nil {
		c, err := d.NewCutter()
		if err != nil {
			return "", err
		}
		d.cutter = c
	}
	return d.cutter.Cut(pos, seed)
}

// dropCutter closes the disk's own cutter.
func (d *Disk) dropCutter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dropped()
}

// dropped is dropCutter with d.mu held.
func (d *Disk) dropped() error {
	c := d.cutter
	if c == nil {
		return nil
	}
	d.cutter = nil
	return c.Close()
}
