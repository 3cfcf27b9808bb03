package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each row of the table in the module's doc.go leads to a name with an Example:
// one of its own, or of the type that it returns. That of wal.Open is the one of
// the package.
func TestWaysInHaveExamples(t *testing.T) {
	b, err := os.ReadFile("../doc.go")
	if err != nil {
		t.Fatal(err)
	}
	examples := map[string]string{} // the Examples of a package
	links := regexp.MustCompile(`(?m)^// \[[\w.]+\]: \S+/fmmap/(\w+)#([\w.]+)$`).FindAllStringSubmatch(string(b), -1)
	if len(links) < 20 {
		t.Fatalf("found %d links, which is too few", len(links))
	}
	for _, link := range links {
		pkg, name := link[1], link[2]
		if _, ok := examples[pkg]; !ok {
			files, err := filepath.Glob(filepath.Join("..", pkg, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				examples[pkg] += string(b)
			}
		}
		own := strings.ReplaceAll(name, ".", "_")
		result := strings.TrimPrefix(strings.TrimPrefix(name, "File."), "New")
		if pkg+"."+name == "wal.Open" {
			own = ""
		}
		if !regexp.MustCompile(`(?m)^func Example(` + own + `|` + result + `)\(`).MatchString(examples[pkg]) {
			t.Errorf("%s.%s has no Example", pkg, name)
		}
	}
}
