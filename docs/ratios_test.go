package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A measured is a row of figures.md.
type measured struct {
	peer  string
	ratio float64
}

// rows returns what figures.md has measured, by workload.
func rows(t *testing.T) map[string][]measured {
	t.Helper()
	b, err := os.ReadFile("figures.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]measured{}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(line, " | ")
		if len(cells) < 7 || !strings.HasPrefix(line, "| ") {
			continue
		}
		if ratio, err := strconv.ParseFloat(cells[5], 64); err == nil {
			name := strings.TrimPrefix(cells[0], "| ")
			all[name] = append(all[name], measured{cells[3], ratio})
		}
	}
	if len(all) < 40 {
		t.Fatalf("found %d workloads, which is too few", len(all))
	}
	return all
}

// strongest returns the peer with the least ratio. What is the library itself, used
// in another way, is no peer.
func strongest(peers []measured) (s measured) {
	for _, m := range peers {
		ours := strings.HasPrefix(m.peer, "core") || strings.HasPrefix(m.peer, "fmmap")
		if !ours && (s.peer == "" || m.ratio < s.ratio) {
			s = m
		}
	}
	return s
}

// shows reports whether text is the ratio, rounded to as many places as it has.
func shows(text string, ratio float64) bool {
	_, places, _ := strings.Cut(text, ".")
	return strconv.FormatFloat(ratio, 'f', len(places), 64) == text
}

// A ratio in a document is followed by its workload, as in 3.2 times (`cold/4k`).
var quoted = regexp.MustCompile("(\\d+(?:\\.\\d+)?) times\\s+\\(`([\\w/]+)`\\)")

// The ratios of the README are those of figures.md to the strongest peer, and those
// of the other pages are in figures.md.
func TestRatiosAreThoseOfTheFigures(t *testing.T) {
	all := rows(t)
	n := 0
	for _, doc := range documents(t) {
		b, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quoted.FindAllStringSubmatch(string(b), -1) {
			n++
			text, name := m[1], m[2]
			found := false
			for _, row := range all[name] {
				found = found || shows(text, row.ratio)
			}
			s := strongest(all[name])
			if !found {
				t.Errorf("%s: %s has %s times, and the figures have %v", doc, name, text, all[name])
			} else if filepath.Base(doc) == "README.md" && !shows(text, s.ratio) {
				t.Errorf("%s: %s has %s times, and the strongest peer is %q with %.2f", doc, name, text, s.peer, s.ratio)
			}
		}
	}
	if n < 15 {
		t.Errorf("found %d ratios, which is too few", n)
	}
}

func TestRatiosAreRounded(t *testing.T) {
	for _, c := range []struct {
		text  string
		ratio float64
		want  bool
	}{
		{"3.2", 3.19, true}, {"3.19", 3.19, true}, {"3", 3.19, true}, {"3.1", 3.19, false}, {"0.80", 0.8, true}, {"32", 31.63, true},
	} {
		if got := shows(c.text, c.ratio); got != c.want {
			t.Errorf("%s for %v: got %v", c.text, c.ratio, got)
		}
	}
	peers := []measured{{"a", 2}, {"core and flush.Committer", 0.5}, {"b", 1.5}}
	if s := strongest(peers); s.peer != "b" {
		t.Errorf("the strongest is %q", s.peer)
	}
}
