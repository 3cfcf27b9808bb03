package docs

import (
	"go/ast"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const troubleshooting = "troubleshooting.md"

// errorTexts returns the constant parts of the error texts in a file: those of
// errors.New and fmt.Errorf, of methods named Error, and of literals of error
// types.
func errorTexts(f *ast.File) (texts []string) {
	verb := regexp.MustCompile(`%[+#]?[a-zA-Z]`)
	add := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				return true
			}
			for _, part := range verb.Split(text, -1) {
				part = strings.Trim(part, ":;, \n")
				if strings.ContainsAny(part, "abcdefghijklmnopqrstuvwxyz") {
					texts = append(texts, part)
				}
			}
			return true
		})
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv != nil && n.Name.Name == "Error" {
				add(n.Body)
			}
		case *ast.CompositeLit:
			if id, ok := n.Type.(*ast.Ident); ok && strings.HasSuffix(id.Name, "Error") {
				for _, field := range n.Elts {
					add(field)
				}
			}
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || len(n.Args) == 0 {
				break
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && (pkg.Name == "errors" && sel.Sel.Name == "New" || pkg.Name == "fmt" && sel.Sel.Name == "Errorf") {
				add(n.Args[0])
			}
		}
		return true
	})
	return texts
}

// Every error text of the library has its place on the troubleshooting page.
func TestErrorTextsAreExplained(t *testing.T) {
	b, err := os.ReadFile(troubleshooting)
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(b)), " ")
	n := 0
	for _, dir := range []string{"../core", "../lock", "../flush", "../async", "../async/antspool", "../wal", "../latency", "../internal/bounds", "../contrib/internal/metrics"} {
		for _, f := range parsed(t, dir) {
			for _, text := range errorTexts(f) {
				n++
				if !strings.Contains(page, text) {
					t.Errorf("%s: the page does not have the error text %q", dir, text)
				}
			}
		}
	}
	if n < 30 {
		t.Errorf("found %d error texts, which is too few", n)
	}
}

// The errors are in the order of their texts, so that they are found.
func TestErrorsAreInOrder(t *testing.T) {
	b, err := os.ReadFile(troubleshooting)
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(b), "\n## Errors\n")
	page, _, _ = strings.Cut(page, "\n## ")
	var headings []string
	for line := range strings.Lines(page) {
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			headings = append(headings, strings.ToLower(heading))
		}
	}
	if len(headings) == 0 || !slices.IsSorted(headings) {
		t.Errorf("the errors are not in order: got %q, want %q", headings, slices.Sorted(slices.Values(headings)))
	}
}
