package core_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// misnamings are the ways in which a name can come to mean something else.
var misnamings = []struct {
	name    string
	happens func(t *testing.T, dir, name string)
	want    error    // of Remove
	stays   []string // below dir, afterwards
	// follows is what stays with RemoveOnClose, which keeps hold of the
	// directory and finds the file there.
	follows []string
}{
	{"nothing", func(*testing.T, string, string) {}, nil, []string{"d"}, nil},
	{"renamed away", func(t *testing.T, dir, name string) {
		check(t, os.Rename(name, filepath.Join(dir, "d", "elsewhere")))
	}, fs.ErrNotExist, []string{"d", "d/elsewhere"}, nil},
	{"replaced", func(t *testing.T, dir, name string) {
		check(t, os.Remove(name))
		check(t, os.WriteFile(name, []byte("foreign"), 0o600))
	}, fs.ErrNotExist, []string{"d", "d/file"}, nil},
	{"replaced by a link to itself", func(t *testing.T, dir, name string) {
		check(t, os.Rename(name, name+".real"))
		symlink(t, name+".real", name)
	}, fs.ErrNotExist, []string{"d", "d/file", "d/file.real"}, nil},
	{"replaced by a link to nowhere", func(t *testing.T, dir, name string) {
		check(t, os.Remove(name))
		symlink(t, "nowhere", name)
	}, fs.ErrNotExist, []string{"d", "d/file"}, nil},
	{"replaced by a directory", func(t *testing.T, dir, name string) {
		check(t, os.Remove(name))
		check(t, os.Mkdir(name, 0o700))
	}, fs.ErrNotExist, []string{"d", "d/file"}, nil},
	{"gone", func(t *testing.T, dir, name string) { check(t, os.Remove(name)) }, fs.ErrNotExist, []string{"d"}, nil},
	{"parent gone, a decoy there", func(t *testing.T, dir, name string) {
		check(t, os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "moved")))
		check(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
		check(t, os.WriteFile(name, []byte("foreign"), 0o600))
	}, fs.ErrNotExist, []string{"d", "d/file", "moved", "moved/file"}, []string{"d", "d/file", "moved"}},
	{"parent gone, a link to a decoy there", func(t *testing.T, dir, name string) {
		check(t, os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "moved")))
		check(t, os.Mkdir(filepath.Join(dir, "trap"), 0o700))
		check(t, os.WriteFile(filepath.Join(dir, "trap", "file"), []byte("foreign"), 0o600))
		symlink(t, filepath.Join(dir, "trap"), filepath.Join(dir, "d"))
	}, fs.ErrNotExist, []string{"d", "moved", "moved/file", "trap", "trap/file"}, []string{"d", "moved", "trap", "trap/file"}},
	{"parent renamed", func(t *testing.T, dir, name string) {
		check(t, os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "moved")))
	}, fs.ErrNotExist, []string{"moved", "moved/file"}, []string{"moved"}},
}

// Nothing foreign may be removed, and the error must say what happened.
func TestRemoveLeavesForeignFilesAlone(t *testing.T) {
	needsFiles(t)
	for _, c := range misnamings {
		t.Run(c.name, func(t *testing.T) {
			if strings.HasPrefix(c.name, "parent") {
				renamesParents(t)
			}
			dir, name := misnamed(t)
			f, err := core.Create(name, 100)
			check(t, err)
			defer f.Close()
			c.happens(t, dir, name)
			if err := f.Remove(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if got := tree(t, dir); !slices.Equal(got, c.stays) {
				t.Errorf("there are %v, want %v", got, c.stays)
			}
			_, err = f.WriteAt([]byte("x"), 0) // the open file is as usable as ever
			check(t, err)
		})
		t.Run(c.name+", on Close", func(t *testing.T) {
			if strings.HasPrefix(c.name, "parent") {
				renamesParents(t)
			}
			dir, name := misnamed(t)
			f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: 100, RemoveOnClose: true})
			check(t, err)
			c.happens(t, dir, name)
			want, stays := c.want, c.stays
			if c.follows != nil {
				want, stays = nil, c.follows
			}
			if c.name == "gone" || c.name == "renamed away" {
				want = nil // the name is gone, as it was to be
			}
			if err := f.Close(); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
			if got := tree(t, dir); !slices.Equal(got, stays) {
				t.Errorf("there are %v, want %v", got, stays)
			}
		})
	}
}

// misnamed is a directory, and the name of a file to be in a directory within
// it.
func misnamed(t *testing.T) (dir, name string) {
	t.Helper()
	dir = t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	return dir, filepath.Join(dir, "d", "file")
}

// tree is what there is below dir.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if path != dir {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	}))
	return names
}

// What Remove has done, RemoveOnClose need not do, nor complain about.
func TestRemoveAndRemoveOnClose(t *testing.T) {
	name := tempFile(t, []byte("x"))
	f, err := core.OpenFile(name, core.Options{RemoveOnClose: true})
	check(t, err)
	check(t, f.Remove())
	if err := f.Remove(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removing again: %v", err)
	}
	check(t, os.WriteFile(name, []byte("the next one"), 0o600))
	check(t, f.Close())
	if got, err := os.ReadFile(name); err != nil || string(got) != "the next one" {
		t.Errorf("what took the name: %q, %v", got, err)
	}
}

// A file system that cannot sync directories has nothing more to give; one that
// fails to is told of.
func TestRemoveWhenItsDirectoryCannotBeSynced(t *testing.T) {
	needsFiles(t)
	for _, cause := range []error{errors.ErrUnsupported, syscall.EIO} {
		f, err := core.Create(filepath.Join(t.TempDir(), "file"), 10)
		check(t, err)
		failing(t, sys.OpFsyncDir, 0, cause)
		for what, err := range map[string]error{"Flush": f.Flush(), "CopyTo": f.CopyTo(f.Name()+"2", 0, 10), "Remove": f.Remove()} {
			if want := cause == syscall.EIO; want != errors.Is(err, syscall.EIO) || !want && err != nil {
				t.Errorf("%s, with %v: %v", what, cause, err)
			}
		}
		failing(t, "", 0, nil)
		if _, err := os.Lstat(f.Name()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("with %v the name is still there: %v", cause, err)
		}
		check(t, f.Close())
	}
}

// renamesParents skips a test that renames the directory of an open file where
// the system refuses that.
func renamesParents(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows renames no directory that has an open file")
	}
}

// File systems give the inode of a removed file to the next one. The open file
// keeps its own from being reused, so that the identities differ however often
// that happens.
func TestRemoveWithRecycledInodes(t *testing.T) {
	needsFiles(t)
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	for range rounds {
		f, err := core.Create(name, 1)
		check(t, err)
		check(t, os.Remove(name))
		check(t, os.WriteFile(name, []byte("foreign"), 0o600))
		if err := f.Remove(); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("got %v", err)
		}
		if _, err := os.Lstat(name); err != nil {
			t.Fatal("a foreign file was removed")
		}
		check(t, f.Close())
		check(t, os.Remove(name))
	}
}

func TestRemoveOfWhatHasNoName(t *testing.T) {
	if err := core.NewMemory("m", nil).Remove(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

func TestSetRemoveOnClose(t *testing.T) {
	for _, c := range []struct {
		before bool
		set    []bool
		exists bool
	}{
		{false, []bool{true}, false},
		{true, []bool{false}, true},
		{false, []bool{true, false}, true},
		{true, []bool{false, true}, false},
		{true, []bool{true}, false},
		{false, []bool{false}, true},
	} {
		for _, flush := range []bool{false, true} {
			t.Run(fmt.Sprint(c.before, c.set, flush), func(t *testing.T) {
				name := tempFile(t, nil)
				check(t, os.Remove(name))
				f := opened(t, name, core.Options{Access: core.ReadWrite, Create: true, Size: 10, RemoveOnClose: c.before})
				for _, remove := range c.set {
					check(t, f.SetRemoveOnClose(remove))
					if flush {
						check(t, f.Flush())
					}
				}
				check(t, f.Close())
				if _, err := os.Lstat(name); (err == nil) != c.exists {
					t.Errorf("after closing: %v", err)
				}
				if err := f.SetRemoveOnClose(true); !errors.Is(err, fs.ErrClosed) {
					t.Errorf("closed: %v", err)
				}
			})
		}
	}
	if err := core.NewMemory("memory", nil).SetRemoveOnClose(true); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("memory: %v", err)
	}
}
