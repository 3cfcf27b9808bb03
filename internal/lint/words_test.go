package lint

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// habits are words that comments, error texts and documents avoid: for "answers"
// write "returns", for "says whether" "reports whether", for "whoever" or "nobody"
// the program part that is meant, for "but for" "except".
var habits = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
	`answer(?:s|ed|ing)?`,
	`(?:say|says|said|tell|tells|told) whether`,
	`whoever|nobody|somebody`,
	`but\s+for`,
	`(?:be|been) had`,
}, "|") + `)\b`)

// says is the beginning of a comment about a name that "says that" or "tells what":
// a function returns or reports, a constant is or means.
var says = regexp.MustCompile(`^// \w+ (?:says|tells) (?:of itself )?(?:how|so|that|what|when)\b`)

const (
	widest   = 90  // columns of a line that is a comment
	drawn    = 100 // the same, of a drawing, a table or code in a comment
	tabWidth = 4
)

// Comments, error texts and documents use the words of the standard library, and
// a comment fits on a screen.
func TestWords(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg == "internal/lint" {
			continue
		}
		for _, group := range s.ast.Comments {
			if first := group.List[0]; says.MatchString(first.Text) {
				t.Errorf("%s:%d: %q", s.path, s.fset.Position(first.Pos()).Line, first.Text)
			}
			output := false // of an example: what a program prints is as wide as it is
			for _, c := range group.List {
				refuse(t, s, c.Pos(), c.Text)
				output = output || s.test() && strings.Contains(c.Text, "utput:")
				if output {
					continue
				}
				for i, line := range strings.Split(c.Text, "\n") {
					at := s.fset.Position(c.Pos())
					most := widest
					if strings.HasPrefix(line, "//\t") {
						most = drawn
					}
					if width := columns(s.lines[at.Line-1+i]); width > most && alone(s.lines[at.Line-1+i]) && !strings.Contains(line, "://") {
						t.Errorf("%s:%d: a comment of %d columns, at most %d", s.path, at.Line+i, width, most)
					}
				}
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				refuse(t, s, lit.Pos(), lit.Value)
			}
			return true
		})
	}
	for _, name := range files(t, ".md") {
		b, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range habits.FindAllStringIndex(string(b), -1) {
			t.Errorf("%s:%d: %q", name, 1+strings.Count(string(b[:at[0]]), "\n"), b[at[0]:at[1]])
		}
	}
}

// refuse reports the habits in a text of a Go file.
func refuse(t *testing.T, s source, pos token.Pos, text string) {
	t.Helper()
	for _, at := range habits.FindAllStringIndex(text, -1) {
		t.Errorf("%s:%d: %q", s.path, s.fset.Position(pos).Line+strings.Count(text[:at[0]], "\n"), text[at[0]:at[1]])
	}
}

// alone reports whether a line of code is a comment and nothing else, and no
// directive.
func alone(line string) bool {
	line = strings.TrimSpace(line)
	return strings.HasPrefix(line, "// ") || strings.HasPrefix(line, "//\t") || !strings.Contains(line, "//")
}

// columns returns the width of a line.
func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabWidth-1)*strings.Count(line, "\t")
}
