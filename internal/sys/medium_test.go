package sys

import (
	"os"
	"path/filepath"
	"testing"
)

// Two files of one directory are on one device; memory and a closed file are on
// none that is known.
func TestMediumOf(t *testing.T) {
	dir := t.TempDir()
	var media []Medium
	for _, name := range []string{"a", "b"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		media = append(media, MediumOf(f))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if m := MediumOf(f); m != MediumOf(nil) {
			t.Errorf("a closed file is on %v, want %v", m, MediumOf(nil))
		}
	}
	if media[0] != media[1] {
		t.Errorf("files of one directory are on %v and %v", media[0], media[1])
	}
	if m := MediumOf(nil); m.Device != 0 || m.Depth == 0 {
		t.Errorf("memory is on %v, want device 0 and some depth", m)
	}
}
