package core_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/core"
)

// Every way in which a name can come to mean something else. Nothing foreign may be removed,
// and the error must say what happened.
func TestRemoveLeavesForeignFilesAlone(t *testing.T) {
	for _, c := range []struct {
		name    string
		happens func(t *testing.T, dir, name string)
		want    error    // of Remove
		stays   []string // below the parent's parent
	}{
		{"nothing", func(*testing.T, string, string) {}, nil, []string{"d"}},
		{"renamed away", func(t *testing.T, dir, name string) {
			check(t, os.Rename(name, filepath.Join(dir, "d", "elsewhere")))
		}, fs.ErrNotExist, []string{"d", "d/elsewhere"}},
		{"replaced", func(t *testing.T, dir, name string) {
			check(t, os.Remove(name))
			check(t, os.WriteFile(name, []byte("foreign"), 0o600))
		}, fs.ErrNotExist, []string{"d", "d/file"}},
		{"replaced by a link to itself", func(t *testing.T, dir, name string) {
			check(t, os.Rename(name, name+".real"))
			check(t, os.Symlink(name+".real", name))
		}, fs.ErrNotExist, []string{"d", "d/file", "d/file.real"}},
		{"replaced by a directory", func(t *testing.T, dir, name string) {
			check(t, os.Remove(name))
			check(t, os.Mkdir(name, 0o700))
		}, fs.ErrNotExist, []string{"d", "d/file"}},
		{"gone", func(t *testing.T, dir, name string) { check(t, os.Remove(name)) }, fs.ErrNotExist, []string{"d"}},
		{"parent gone, a decoy there", func(t *testing.T, dir, name string) {
			check(t, os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "moved")))
			check(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
			check(t, os.WriteFile(name, []byte("foreign"), 0o600))
		}, fs.ErrNotExist, []string{"d", "d/file", "moved", "moved/file"}},
		{"parent renamed", func(t *testing.T, dir, name string) {
			check(t, os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "moved")))
		}, fs.ErrNotExist, []string{"moved", "moved/file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.HasPrefix(c.name, "parent") {
				renamesParents(t)
			}
			dir := t.TempDir()
			check(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
			name := filepath.Join(dir, "d", "file")
			f, err := core.Create(name, 100)
			check(t, err)
			defer f.Close()
			c.happens(t, dir, name)
			if err := f.Remove(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			var there []string
			check(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
				if path != dir {
					rel, _ := filepath.Rel(dir, path)
					there = append(there, filepath.ToSlash(rel))
				}
				return err
			}))
			if len(there) != len(c.stays) {
				t.Fatalf("there are %v, want %v", there, c.stays)
			}
			for i := range there {
				if there[i] != c.stays[i] {
					t.Errorf("there are %v, want %v", there, c.stays)
				}
			}
			_, err = f.WriteAt([]byte("x"), 0) // the open file is as usable as ever
			check(t, err)
		})
	}
}

// renamesParents skips a test that renames the directory of an open file where the system refuses that.
func renamesParents(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows renames no directory that has an open file")
	}
}

// RemoveOnClose keeps the directory open, so it finds its file even in a renamed one.
func TestRemoveOnCloseFollowsItsDirectory(t *testing.T) {
	renamesParents(t)
	dir := t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	name := filepath.Join(dir, "d", "file")
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: 10, RemoveOnClose: true})
	check(t, err)
	check(t, os.Rename(filepath.Join(dir, "d"), filepath.Join(dir, "moved")))
	check(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	check(t, os.WriteFile(name, []byte("decoy"), 0o600))
	check(t, f.Close())
	if _, err := os.Lstat(filepath.Join(dir, "moved", "file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "decoy" {
		t.Errorf("the decoy: %q, %v", got, err)
	}
}

func TestRemoveOnCloseSaysWhatHappened(t *testing.T) {
	name := tempFile(t, []byte("x"))
	f, err := core.OpenFile(name, core.Options{RemoveOnClose: true})
	check(t, err)
	check(t, os.Remove(name))
	if err := f.Close(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Close of a file whose name is gone: %v", err)
	}
	if err := f.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a second Close: %v", err)
	}
}

// File systems give the inode of a removed file to the next one. The open file keeps its own from being reused, so that the
// identities differ however often that happens.
func TestRemoveWithRecycledInodes(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	for range 1000 {
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
