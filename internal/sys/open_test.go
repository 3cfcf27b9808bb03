package sys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	full, absent := filepath.Join(dir, "full"), filepath.Join(dir, "absent")
	for _, tt := range []struct {
		name  string
		file  string
		flags int
		want  error
		has   string
	}{
		{"read", full, os.O_RDONLY, nil, "bytes"},
		{"write", full, os.O_RDWR, nil, "bytes"},
		{"synchronous", full, os.O_RDWR | os.O_SYNC, nil, "bytes"},
		{"nonblocking", full, os.O_RDWR | OpenNonblock, nil, "bytes"},
		{"truncate", full, os.O_RDWR | os.O_TRUNC, nil, ""},
		{"create what is there", full, os.O_RDWR | os.O_CREATE, nil, "bytes"},
		{"create what is there alone", full, os.O_RDWR | os.O_CREATE | os.O_EXCL, fs.ErrExist, "bytes"},
		{"read what is absent", absent, os.O_RDONLY, fs.ErrNotExist, ""},
		{"create", absent, os.O_RDWR | os.O_CREATE, nil, ""},
		{"create alone", absent, os.O_RDWR | os.O_CREATE | os.O_EXCL, nil, ""},
		{"no name", "", os.O_RDONLY, fs.ErrNotExist, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(full, []byte("bytes"), 0o644); err != nil {
				t.Fatal(err)
			}
			os.Remove(absent)
			f, err := OpenFile(tt.file, tt.flags, 0o644)
			if !MapsFiles {
				if b, rerr := os.ReadFile(full); !errors.Is(err, errors.ErrUnsupported) || rerr != nil || string(b) != "bytes" {
					t.Errorf("OpenFile = %v, %v, want ErrUnsupported; the file has %q, %v", f, err, b, rerr)
				}
				return
			}
			if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Fatalf("OpenFile = %v, want %v", err, tt.want)
			}
			if pe := (*fs.PathError)(nil); err != nil && !errors.As(err, &pe) {
				t.Errorf("the error %v has no path", err)
			}
			if err != nil {
				return
			}
			defer f.Close()
			if got, err := io.ReadAll(f); string(got) != tt.has || err != nil {
				t.Errorf("the file has %q, %v, want %q", got, err, tt.has)
			}
			_, err = f.WriteAt([]byte("x"), 0)
			if canWrite := tt.flags&os.O_RDWR != 0; canWrite != (err == nil) {
				t.Errorf("writing: %v, want it to work: %v", err, canWrite)
			}
		})
	}
}

// The name of an open and mapped file can be taken away and given to another
// file.
func TestOpenFileCanBeReplaced(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, 10), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFile(name, os.O_RDWR, 0)
	if !MapsFiles {
		t.Skipf("this system maps no files: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	newMapping(t, f, MapOptions{Access: ReadWrite, Len: 10})
	if err := os.Rename(name, name+".moved"); err != nil {
		t.Errorf("renaming: %v", err)
	}
	if err := os.WriteFile(name, []byte("another"), 0o644); err != nil {
		t.Errorf("another file of that name: %v", err)
	}
	if err := os.Remove(name + ".moved"); err != nil {
		t.Errorf("removing: %v", err)
	}
}

// A name can be taken away, and given to another file, while its file is open;
// on Windows a foreign one stays.
func TestUnlink(t *testing.T) {
	dir := t.TempDir()
	name, other := filepath.Join(dir, "f"), filepath.Join(dir, "other")
	for _, n := range []string{name, other} {
		if err := os.WriteFile(n, []byte("bytes"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := OpenFile(name, os.O_RDWR, 0)
	if !MapsFiles {
		t.Skipf("this system maps no files: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unlinkIn(dir, "absent", f); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent name: %v", err)
	}
	if runtime.GOOS == "windows" {
		if err := unlinkIn(dir, "other", f); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("another file's name: %v", err)
		}
	}
	if err := unlinkIn(dir, "f", f); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != "bytes" {
		t.Errorf("the open file has %q, %v", b, err)
	}
	if _, err := os.Lstat(other); err != nil {
		t.Error(err)
	}
}
