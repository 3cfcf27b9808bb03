package docs

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	unnamed = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors returns the anchors of a document's headings, as GitHub makes them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := unnamed.ReplaceAllString(strings.ToLower(m[1]), "")
		all[strings.ReplaceAll(name, " ", "-")] = true
	}
	return all
}

// broken returns the relative links of a document that lead to no file, or to no
// heading of one.
func broken(doc string) (bad []string, err error) {
	b, err := os.ReadFile(doc)
	if err != nil {
		return nil, err
	}
	for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(string(b), ""), -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		path, anchor, _ := strings.Cut(m[1], "#")
		target := doc
		if path != "" {
			target = filepath.Join(filepath.Dir(doc), filepath.FromSlash(path))
		}
		if _, err := os.Stat(target); err != nil {
			bad = append(bad, m[1])
			continue
		}
		if anchor == "" {
			continue
		}
		text, err := os.ReadFile(target)
		if err != nil || !anchors(string(text))[anchor] {
			bad = append(bad, m[1])
		}
	}
	return bad, nil
}

// Every relative link of the documents leads to a file, and to a heading where
// it names one.
func TestLinksLeadSomewhere(t *testing.T) {
	docs := documents(t)
	more, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range append(docs, more...) {
		bad, err := broken(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range bad {
			t.Errorf("%s: the link %s leads nowhere", doc, l)
		}
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	dir := t.TempDir()
	doc := filepath.Join(dir, "a.md")
	text := "# One `two`, three\n[a](a.md) [b](#one-two-three) [c](#one) [d](b.md) [e](https://x.y/z)\n```\n# four\n```\n[f](#four)\n"
	if err := os.WriteFile(doc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bad, err := broken(doc)
	if got := strings.Join(bad, " "); err != nil || got != "#one b.md #four" {
		t.Errorf("found %q, %v", got, err)
	}
}

// The README is a first look, and stays one.
func TestReadmeIsShort(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n > 150 {
		t.Errorf("README.md has %d lines, want at most 150", n)
	}
}

// Every picture is a whole document of XML, without which no browser shows it, and
// a page shows it.
func TestPicturesAreWholeAndShown(t *testing.T) {
	pictures, err := filepath.Glob("*.svg")
	if err != nil || len(pictures) == 0 {
		t.Fatalf("found %v, %v", pictures, err)
	}
	var pages strings.Builder
	for _, doc := range documents(t) {
		b, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		pages.Write(b)
	}
	for _, name := range pictures {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(f)
		for err == nil {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
		_ = f.Close() // it was only read
		if !strings.Contains(pages.String(), "("+name+")") {
			t.Errorf("no page shows %s", name)
		}
	}
}
