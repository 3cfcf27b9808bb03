package sys

import (
	"os"
	"path/filepath"
	"testing"
)

// Two files of one directory are on one device; memory is on none that is known.
func TestMediumOf(t *testing.T) {
	dir := t.TempDir()
	var media []Medium
	for _, name := range []string{"a", "b"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		media = append(media, MediumOf(f.Fd()))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if media[0] != media[1] {
		t.Errorf("files of one directory are on %v and %v", media[0], media[1])
	}
	if m := MediumOf(^uintptr(0)); m.Device != 0 || m.Depth == 0 {
		t.Errorf("memory is on %v, want device 0 and some depth", m)
	}
}
