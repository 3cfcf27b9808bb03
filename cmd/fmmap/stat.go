package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

var stat = command{
	name: "stat", args: "[-json] [-folios] FILE...",
	brief: "show size, holes, residency, dirty bytes and locks of files",
	help: `Shows the state of each file. The bar has a character per region of the file:
█ all of it is in memory, ▓ half or more, ░ less, · nothing. It is colored on a
terminal unless NO_COLOR is set. What the system does not tell is "unknown",
with the reason. -folios counts the units in which the kernel keeps the file in
memory, by their size: a store through a mapping makes a whole one dirty. It takes
root, and maps what is in memory.`,
	run: func(_ context.Context, c *call) int {
		c.folios = c.Bool("folios", false, "count the folios in memory by size")
		return c.eachFile(func(string) error { return nil })
	},
}

// regions is how many regions the bar of a long file has.
const regions = 64

// A report is the state of a file. What is unknown is nil, and in Unknown by its
// name with the reason.
type report struct {
	Name      string            `json:"name"`
	Size      int64             `json:"size"`
	Allocated *int64            `json:"allocated,omitempty"`
	Holes     *int64            `json:"holes,omitempty"` // bytes in holes
	Resident  *int64            `json:"resident,omitempty"`
	Regions   []float64         `json:"regions,omitempty"`
	Folios    map[int64]int64   `json:"folios,omitempty"` // by size in bytes
	Dirty     *int64            `json:"dirty,omitempty"`
	Writeback *int64            `json:"writeback,omitempty"`
	Locks     []sys.Holder      `json:"locks,omitempty"`
	Unknown   map[string]string `json:"unknown,omitempty"`
}

// show writes the state of one file.
func (c *call) show(name string) error {
	r, err := look(name, c.folios != nil && *c.folios)
	if err != nil {
		return err
	}
	if *c.json {
		return c.encode(r)
	}
	return r.write(c.stdout, isColored(c.stdout))
}

// look returns the state of a file, if asked for with its folios. It opens the file
// for reading only.
func look(name string, folios bool) (*report, error) {
	f, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r := &report{Name: name, Size: info.Size(), Unknown: map[string]string{}}
	if n, err := sys.Allocated(f); err != nil {
		r.Unknown["allocated"] = err.Error()
	} else {
		r.Allocated = &n
	}
	if parts, _, err := sys.Missing(f, 0, r.Size); err != nil {
		r.Unknown["holes"] = err.Error()
	} else {
		n := int64(0)
		for _, p := range parts {
			n += p.Len
		}
		r.Holes = &n
	}
	if err := r.residency(f); err != nil {
		r.Unknown["resident"] = err.Error()
	}
	if folios {
		if err := r.countFolios(f); err != nil {
			r.Unknown["folios"] = err.Error()
		}
	}
	if s, err := sys.CacheStateOf(f, 0, r.Size); err != nil {
		r.Unknown["dirty"] = err.Error()
	} else {
		r.Dirty, r.Writeback = &s.Dirty, &s.Writeback
	}
	if r.Locks, err = sys.Holders(info); err != nil {
		r.Unknown["locks"] = err.Error()
	}
	return r, nil
}

// openRegular opens a file for reading.
func openRegular(name string) (*os.File, error) {
	info, err := os.Stat(name) // before opening, which waits at a pipe
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	return os.Open(name)
}

// looking takes no lock: a look neither waits for a program that has the file
// locked nor keeps one from locking it.
var looking = core.Options{NoLock: true}

// residency fills in what is in memory.
func (r *report) residency(file *os.File) error {
	f, err := core.Map(file, looking)
	if err != nil {
		return err
	}
	defer f.Close()
	page := int64(os.Getpagesize())
	size := f.Len()
	pages := (size + page - 1) / page
	step := max((pages+regions-1)/regions, 1) * page
	parts, sum := []float64{}, int64(0)
	for off := int64(0); off < size; off += step {
		in, of, err := f.Resident(off, min(step, size-off))
		if err != nil {
			return err
		}
		sum += in
		parts = append(parts, float64(in)/float64(of))
	}
	sum = min(sum*page, size)
	r.Resident, r.Regions = &sum, parts
	return nil
}

// countFolios touches what is in memory and counts its folios.
func (r *report) countFolios(file *os.File) error {
	f, err := core.Map(file, looking)
	if err != nil {
		return err
	}
	defer f.Close()
	page := int64(os.Getpagesize())
	return f.View(func(b []byte) (err error) {
		touched := byte(0)
		for off := int64(0); off < int64(len(b)); off += page {
			in, _, err := f.Resident(off, min(page, int64(len(b))-off))
			if err != nil {
				return err
			}
			if in > 0 {
				touched += b[off]
			}
		}
		runtime.KeepAlive(touched)
		r.Folios, err = sys.Folios(b)
		return err
	})
}

// write writes the report for people.
func (r *report) write(w io.Writer, color bool) error {
	amount := func(n *int64, name string) string {
		if n == nil {
			return "unknown: " + r.Unknown[name]
		}
		return fmt.Sprint(*n)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s\n  size       %d\n  allocated  %s\n  holes      %s\n  resident   %s\n",
		r.Name, r.Size, amount(r.Allocated, "allocated"), amount(r.Holes, "holes"), amount(r.Resident, "resident"))
	if len(r.Regions) > 0 {
		text.WriteString("             " + bar(r.Regions, color) + "\n")
	}
	if why := r.Unknown["folios"]; why != "" {
		text.WriteString("  folios     unknown: " + why + "\n")
	}
	for _, size := range slices.Sorted(maps.Keys(r.Folios)) {
		fmt.Fprintf(&text, "  folios     %d of %d KiB\n", r.Folios[size], size>>10)
	}
	fmt.Fprintf(&text, "  dirty      %s\n  writeback  %s\n", amount(r.Dirty, "dirty"), amount(r.Writeback, "dirty"))
	if why := r.Unknown["locks"]; why != "" {
		text.WriteString("  locks      unknown: " + why + "\n")
	} else if len(r.Locks) == 0 {
		text.WriteString("  locks      none\n")
	}
	for _, h := range r.Locks {
		verb := "holds"
		if h.Waiting {
			verb = "waits for"
		}
		fmt.Fprintf(&text, "  locks      process %d %s %s %s %s [%s, %s]\n", h.PID, h.Command, verb, h.Kind, h.Mode, h.From, h.To)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
