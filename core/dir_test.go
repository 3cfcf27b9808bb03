package core_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// moves are what happens to a file top/d/file between its opening and its first
// flush or its closing. There is an empty directory top/other.
var moves = []struct {
	name    string
	happens func(t *testing.T, top string)
	synced  string   // directory that the flush syncs; "" if it syncs the file system too
	nothing bool     // the flush may as well sync nothing
	want    error    // of Close with RemoveOnClose
	stays   []string // below top, afterwards
	away    bool     // the directory that it was opened in has it no longer, or by another name
}{
	{"nothing", func(*testing.T, string) {}, "d", false, nil, []string{"d", "other"}, false},
	{"the directory renamed", func(t *testing.T, top string) {
		rename(t, top, "d", "moved")
	}, "moved", false, nil, []string{"moved", "other"}, false},
	{"the directory moved", func(t *testing.T, top string) {
		rename(t, top, "d", "other/d")
	}, "other/d", false, nil, []string{"other", "other/d"}, false},
	{"the directory replaced by one with another file", func(t *testing.T, top string) {
		rename(t, top, "d", "moved")
		check(t, os.Mkdir(filepath.Join(top, "d"), 0o700))
		foreign(t, top, "d/file")
	}, "moved", false, nil, []string{"d", "d/file", "moved", "other"}, false},
	{"the directory replaced by one with a link of the file", func(t *testing.T, top string) {
		rename(t, top, "d", "moved")
		check(t, os.Mkdir(filepath.Join(top, "d"), 0o700))
		check(t, os.Link(filepath.Join(top, "moved/file"), filepath.Join(top, "d/file")))
	}, "moved", false, nil, []string{"d", "d/file", "moved", "other"}, false},
	{"the directory replaced by a file", func(t *testing.T, top string) {
		rename(t, top, "d", "moved")
		foreign(t, top, "d")
	}, "moved", false, nil, []string{"d", "moved", "other"}, false},
	{"the file moved to another directory", func(t *testing.T, top string) {
		rename(t, top, "d/file", "other/file")
	}, "", false, nil, []string{"d", "other", "other/file"}, true},
	{"the file moved, and its directory renamed", func(t *testing.T, top string) {
		rename(t, top, "d/file", "other/file")
		rename(t, top, "d", "moved")
	}, "", false, nil, []string{"moved", "other", "other/file"}, true},
	{"the file moved, and its directory replaced by that one", func(t *testing.T, top string) {
		rename(t, top, "d/file", "other/file")
		rename(t, top, "d", "moved")
		rename(t, top, "other", "d")
	}, "", false, nil, []string{"d", "d/file", "moved"}, true},
	{"the file moved, and another in its place", func(t *testing.T, top string) {
		rename(t, top, "d/file", "other/file")
		foreign(t, top, "d/file")
	}, "", false, fs.ErrNotExist, []string{"d", "d/file", "other", "other/file"}, true},
	{"the file linked elsewhere, and its directory removed", func(t *testing.T, top string) {
		check(t, os.Link(filepath.Join(top, "d/file"), filepath.Join(top, "other/kept")))
		check(t, os.RemoveAll(filepath.Join(top, "d")))
	}, "", false, nil, []string{"other", "other/kept"}, true},
	{"the file renamed", func(t *testing.T, top string) {
		rename(t, top, "d/file", "d/new")
	}, "d", false, nil, []string{"d", "d/new", "other"}, true},
	{"the file and its directory renamed", func(t *testing.T, top string) {
		rename(t, top, "d/file", "d/new")
		rename(t, top, "d", "moved")
	}, "moved", false, nil, []string{"moved", "moved/new", "other"}, true},
	{"the file removed", func(t *testing.T, top string) {
		check(t, os.Remove(filepath.Join(top, "d/file")))
	}, "d", false, nil, []string{"d", "other"}, false},
	{"the directory removed", func(t *testing.T, top string) {
		check(t, os.RemoveAll(filepath.Join(top, "d")))
	}, "d (deleted)", true, nil, []string{"other"}, false},
	{"the directory removed, and made again", func(t *testing.T, top string) {
		check(t, os.RemoveAll(filepath.Join(top, "d")))
		check(t, os.Mkdir(filepath.Join(top, "d"), 0o700))
	}, "d (deleted)", true, nil, []string{"d", "other"}, false},
}

func rename(t *testing.T, top, from, to string) {
	t.Helper()
	check(t, os.Rename(filepath.Join(top, from), filepath.Join(top, to)))
}

func foreign(t *testing.T, top, name string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(top, name), []byte("foreign"), 0o600))
}

// heldBelow returns the names below top that a descriptor is open on.
func heldBelow(t *testing.T, top string) (names []string) {
	t.Helper()
	h, err := testutil.Held()
	check(t, err)
	for name, n := range h.Descriptors {
		if rel, ok := strings.CutPrefix(name, top+"/"); ok {
			names = append(names, slices.Repeat([]string{rel}, n)...)
		}
	}
	slices.Sort(names)
	return names
}

// A file has one descriptor from its creation on. Its directory is opened again
// when it is needed, and what then happens is what happens through a descriptor
// that is held all the time, which is so where /proc is missing.
func TestTheDirectoryIsFoundAgain(t *testing.T) {
	testutil.RequireLinux(t, "/proc with the names of open files")
	for _, m := range moves {
		for _, mode := range []struct {
			name     string
			relative bool // the name, and then the working directory is changed
			proc     bool // /proc is there
		}{
			{"", false, true}, {", by a relative name", true, true}, {", without proc", false, false},
		} {
			t.Run(m.name+mode.name, func(t *testing.T) {
				for _, removes := range []bool{false, true} {
					testMove(t, m.happens, mode.relative, mode.proc, removes, func(top string, synced []string, all int) {
						switch {
						case m.away && !mode.proc: // nothing tells where it is
							if len(synced) != 1 || all != 1 {
								t.Errorf("the flush has synced %d directories, and %d times the file system; want one, and once", len(synced), all)
							}
						case m.nothing && mode.proc:
							if all != 0 {
								t.Errorf("the file system was synced for a file without a name")
							}
						case m.synced == "" && mode.proc:
							var want []string // where the file is
							for _, name := range m.stays {
								if filepath.Base(name) == "file" {
									want = []string{filepath.Dir(name)}
								}
							}
							if !slices.Equal(synced, want) || all != 1 {
								t.Errorf("the flush has synced the directories %q, and %d times the file system; want %q, and once", synced, all, want)
							}
						case m.synced != "" && !slices.Equal(synced, []string{m.synced}) || all != 0:
							t.Errorf("the flush has synced the directories %q, and %d times the file system; want %q", synced, all, m.synced)
						}
					}, func(top string, err error) {
						if !removes {
							check(t, err)
							return
						}
						if !errors.Is(err, m.want) {
							t.Errorf("Close: got %v, want %v", err, m.want)
						}
						if got := tree(t, top); !slices.Equal(got, m.stays) {
							t.Errorf("there are %v, want %v", got, m.stays)
						}
					})
				}
			})
		}
	}
}

// testMove opens a file, lets something happen, flushes unless it is removed,
// and closes.
func testMove(t *testing.T, happens func(*testing.T, string), relative, proc, removes bool,
	flushed func(top string, synced []string, all int), closed func(top string, err error)) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	check(t, os.Mkdir(filepath.Join(top, "d"), 0o700))
	check(t, os.Mkdir(filepath.Join(top, "other"), 0o700))
	name := filepath.Join(top, "d", "file")
	if relative {
		t.Chdir(top)
		name = "d/file"
	}
	var mu sync.Mutex
	var synced []string
	all := 0
	restore := sys.Inject(func(op sys.Op) error {
		mu.Lock()
		defer mu.Unlock()
		switch op {
		case sys.OpReadlink:
			if !proc {
				return errors.ErrUnsupported
			}
		case sys.OpSyncAll:
			all++
		case sys.OpFsyncDir: // of the one directory that is open
			for _, held := range heldBelow(t, top) {
				if base := filepath.Base(held); !strings.HasPrefix(base, "file") && !strings.HasPrefix(base, "new") {
					synced = append(synced, held)
				}
			}
		}
		return nil
	})
	defer restore()
	f := opened(t, name, core.Options{Access: core.ReadWrite, Create: true, Size: 100, RemoveOnClose: removes})
	want := []string{"d/file"}
	if !proc {
		want = []string{"d", "d/file"}
	}
	if got := heldBelow(t, top); !slices.Equal(got, want) {
		t.Errorf("descriptors of %q, want %q", got, want)
	}
	if relative {
		t.Chdir("/")
	}
	happens(t, top)
	if !removes {
		check(t, f.Flush())
		flushed(top, synced, all)
		check(t, f.Flush())
		if got := heldBelow(t, top); len(got) != 1 {
			t.Errorf("flushed, descriptors of %q", got)
		}
	}
	closed(top, f.Close())
	if got := heldBelow(t, top); len(got) != 0 {
		t.Errorf("closed, descriptors of %q", got)
	}
}

// Where nothing can be found again (the process has left for another root, has
// no descriptor left or may not search any longer), a flush syncs the file
// system, and a removal that was not done is an error.
func TestTheDirectoryIsNotFoundAgain(t *testing.T) {
	testutil.RequireLinux(t, "/proc with the names of open files")
	for _, c := range []struct {
		name string
		op   sys.Op
		err  error
	}{{"no descriptor", sys.OpOpenDir, syscall.EMFILE}, {"no right", sys.OpOpenDir, syscall.EACCES}, {"no proc", sys.OpReadlink, errors.ErrUnsupported}} {
		for _, removes := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				top := t.TempDir()
				check(t, os.Mkdir(filepath.Join(top, "d"), 0o700))
				f := opened(t, filepath.Join(top, "d/file"), core.Options{Access: core.ReadWrite, Create: true, Size: 100, RemoveOnClose: removes})
				rename(t, top, "d", "moved")
				check(t, os.Mkdir(filepath.Join(top, "d"), 0o700))
				foreign(t, top, "d/file")
				all, opened := 0, 0
				restore := sys.Inject(func(op sys.Op) error {
					switch op {
					case sys.OpSyncAll:
						all++
					case sys.OpOpenDir:
						opened++
					}
					if op == c.op {
						return c.err
					}
					return nil
				})
				defer restore()
				check(t, f.Flush())
				if all != 1 {
					t.Errorf("the file system was synced %d times", all)
				}
				if err := f.Close(); (err != nil) != removes {
					t.Errorf("Close: %v", err)
				}
				if opened > 10 { // what is refused once is refused again
					t.Errorf("a directory was opened %d times", opened)
				}
				if got, want := tree(t, top), []string{"d", "d/file", "moved", "moved/file"}; !slices.Equal(got, want) {
					t.Errorf("there are %v, want %v", got, want)
				}
			})
		}
	}
}

// What SetRemoveOnClose is told of is the directory that has the name then, and
// that of a created file until its first flush.
func TestSetRemoveOnCloseFindsTheDirectoryAgain(t *testing.T) {
	testutil.RequireLinux(t, "/proc with the names of open files")
	for _, flush := range []bool{false, true} {
		top := t.TempDir()
		check(t, os.Mkdir(filepath.Join(top, "d"), 0o700))
		f := opened(t, filepath.Join(top, "d/file"), core.Options{Access: core.ReadWrite, Create: true, Size: 100})
		if flush {
			check(t, f.Flush())
		}
		check(t, f.SetRemoveOnClose(true))
		if got := heldBelow(t, top); !slices.Equal(got, []string{"d/file"}) {
			t.Errorf("descriptors of %q", got)
		}
		rename(t, top, "d", "moved")
		check(t, f.SetRemoveOnClose(true))
		check(t, f.Flush())
		check(t, f.Close())
		if got := tree(t, top); !slices.Equal(got, []string{"moved"}) {
			t.Errorf("there are %v", got)
		}
	}
}
