package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// The ratios of the documents are those of figures.md. Where one of a workload is
// given, so is that to the strongest peer, and in the README no other.
func TestRatiosAreThoseOfTheFigures(t *testing.T) {
	all := rows(t)
	n := 0
	for _, doc := range documents(t) {
		b, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		given := map[string]bool{} // whether the strongest peer of the workload is
		for _, m := range quoted.FindAllStringSubmatch(string(b), -1) {
			n++
			text, name := m[1], m[2]
			if !slices.ContainsFunc(all[name], func(row measured) bool { return shows(text, row.ratio) }) {
				t.Errorf("%s: %s has %s times, and the figures have %v", doc, name, text, all[name])
			}
			least := shows(text, strongest(all[name]).ratio)
			if seen, ok := given[name]; filepath.Base(doc) == "README.md" {
				given[name] = least && (seen || !ok)
			} else {
				given[name] = least || seen
			}
		}
		for name, ok := range given {
			if s := strongest(all[name]); !ok {
				t.Errorf("%s: %s has not %.2f times, of the strongest peer, %q", doc, name, s.ratio, s.peer)
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
