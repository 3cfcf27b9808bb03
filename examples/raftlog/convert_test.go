package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/fmmap-go/fmmap/examples/raftlog/store"
	"github.com/fmmap-go/fmmap/wal"
)

// boltFile returns a file that raft-boltdb v2.3.1 has written: entries 1 to 20
// and 101 to 140, of term index/10 and type index%6, and two settings.
func boltFile(t *testing.T) string {
	t.Helper()
	f, err := os.Open("testdata/raft.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "raft.db")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestConvert(t *testing.T) {
	file, dir := boltFile(t), filepath.Join(t.TempDir(), "node")
	var out strings.Builder
	if err := run(t.Context(), []string{"convert", file, dir}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if want := "40 entries, from 101 to 140, and 2 settings\n20 entries before a hole were left out\nneeded beside it: a snapshot up to entry 100 or later\n"; out.String() != want {
		t.Errorf("said %q", &out)
	}
	s, err := store.Open(t.Context(), logDir(dir), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if first, _ := s.FirstIndex(); first != 101 {
		t.Errorf("the first is %d", first)
	}
	if last, _ := s.LastIndex(); last != 140 {
		t.Errorf("the last is %d", last)
	}
	for i := uint64(101); i <= 140; i++ {
		var e raft.Log
		if err := s.GetLog(i, &e); err != nil {
			t.Fatal(err)
		}
		if e.Index != i || e.Term != i/10 || e.Type != raft.LogType(i%6) || string(e.Data) != fmt.Sprint("entry ", i) ||
			len(e.Extensions) != int(i%2) || e.AppendedAt.Unix() != 1_700_000_000+int64(i) || e.AppendedAt.Nanosecond() != 5 {
			t.Errorf("entry %d is %+v", i, e)
		}
	}
	if n, err := s.GetUint64([]byte("CurrentTerm")); n != 14 || err != nil {
		t.Errorf("the term is %d, %v", n, err)
	}
	if b, err := s.Get([]byte("LastVoteCand")); string(b) != "b" || err != nil {
		t.Errorf("the vote is %q, %v", b, err)
	}
}

// A conversion that fails leaves no log, and one that was interrupted is begun
// anew.
func TestConvertWhatCannotBe(t *testing.T) {
	good := boltFile(t)
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte("entry 130\xaaExtensions\xa0\xa5Index\xcc\x82"), []byte("entry 130\xaaExtensions\xa0\xa5Index\xcc\x83"), 1)
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	empty := filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(damaged, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(empty, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, file := range map[string]string{"damaged": damaged, "no database": empty, "absent": empty + ".absent"} {
		if err := run(t.Context(), []string{"convert", file, dir}, io.Discard, io.Discard); err == nil {
			t.Errorf("%s: converted", name)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
	if err := os.MkdirAll(filepath.Join(logDir(dir)+".new", "rest"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"convert", good, dir}, io.Discard, io.Discard); err != nil {
		t.Error(err)
	}
	if err := run(t.Context(), []string{"convert", good, dir}, io.Discard, io.Discard); err == nil {
		t.Error("converted over a log")
	}
}
