package docs

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// What a translation keeps: the levels of the headings, the code, the figures
// and the names and the links of other documents, as a multiset, since the order
// of words differs.
var kept = map[string]*regexp.Regexp{
	"headings":        regexp.MustCompile(`(?m)^#+ `),
	"blocks":          regexp.MustCompile("(?ms)^```.*?^```$"),
	"indented blocks": regexp.MustCompile(`(?m)^    \S.*$`),
	"figures":         regexp.MustCompile(`\d+(?:\.\d+)*`),
	"names":           regexp.MustCompile("`[^`\n]+`"),
	"links":           regexp.MustCompile(`\]\([\w./:-]+\)`),
}

// differences returns what only one of a text and its translation has, by kind.
func differences(text, translation string) (all []string) {
	for kind, re := range kept {
		a, b := re.FindAllString(text, -1), re.FindAllString(translation, -1)
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			all = append(all, kind)
		}
	}
	slices.Sort(all)
	return all
}

// The links of the two to each other are not compared.
var mutual = regexp.MustCompile(`\[[^\]\n]*\]\(README(\.zh-CN)?\.md\)`)

func TestTranslationHasWhatTheReadmeHas(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return mutual.ReplaceAllString(string(b), "")
	}
	for _, kind := range differences(read("../README.md"), read("../README.zh-CN.md")) {
		t.Errorf("README.md and README.zh-CN.md differ in their %s", kind)
	}
}

func TestDifferencesAreFound(t *testing.T) {
	text := "# A\n\n```go\nx\n```\n\n    go test\n\n`File` is 1.5 times [b](b.md)\n"
	for _, c := range []struct{ change, to, want string }{
		{"# A", "A", "headings"},
		{"\nx\n", "\ny\n", "blocks"},
		{"go test", "go run", "indented blocks"},
		{"1.5", "1.6", "figures"},
		{"`File`", "`Pin`", "names"},
		{"b.md", "c.md", "links"},
	} {
		got := differences(text, regexp.MustCompile(regexp.QuoteMeta(c.change)).ReplaceAllLiteralString(text, c.to))
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%q to %q: found %v, want %s", c.change, c.to, got, c.want)
		}
	}
}
