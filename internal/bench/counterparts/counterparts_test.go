package counterparts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestMain(m *testing.M) {
	testutil.RunRole(map[string]func() error{
		"fmmap":   func() error { return addOften(fmmapAdd) },
		"mmap-go": func() error { return addOften(mmapgoAdd) },
	})
	os.Exit(m.Run())
}

// programs are the uses, each once over fmmap and once over mmap-go.
var programs = []struct {
	name, want    string
	fmmap, mmapgo func(t *testing.T, out io.Writer)
}{
	{
		name: "index", want: "yellow\n\ngreen\ncut short: true\n",
		fmmap:  func(t *testing.T, out io.Writer) { useIndex(t, openFmmapIndex, out) },
		mmapgo: func(t *testing.T, out io.Writer) { useIndex(t, openMmapgoIndex, out) },
	},
	{
		name: "queue", want: "[line 0 line 1]\n[line 2]\n500 more\n[]\n[last]\n",
		fmmap:  func(t *testing.T, out io.Writer) { useQueue(t, openFmmapQueue, out) },
		mmapgo: func(t *testing.T, out io.Writer) { useQueue(t, openMmapgoQueue, out) },
	},
	{
		name: "pipeline", want: "c71c0011 c71c0011 060b1780\n",
		fmmap:  func(t *testing.T, out io.Writer) { usePipeline(t, fmmapPipeline, out) },
		mmapgo: func(t *testing.T, out io.Writer) { usePipeline(t, mmapgoPipeline, out) },
	},
	{
		name: "counter", want: "41\n",
		fmmap:  func(t *testing.T, out io.Writer) { useCounter(t, "fmmap", fmmapAdd, out) },
		mmapgo: func(t *testing.T, out io.Writer) { useCounter(t, "mmap-go", mmapgoAdd, out) },
	},
	{
		name: "table", want: "2000 rows\nEOF\n2000 rows after reopening\n",
		fmmap:  func(t *testing.T, out io.Writer) { useTable(t, openFmmapTable, out) },
		mmapgo: func(t *testing.T, out io.Writer) { useTable(t, openMmapgoTable, out) },
	},
}

func TestPrograms(t *testing.T) {
	for _, p := range programs {
		for over, use := range map[string]func(*testing.T, io.Writer){"fmmap": p.fmmap, "mmap-go": p.mmapgo} {
			t.Run(p.name+" over "+over, func(t *testing.T) {
				var out bytes.Buffer
				if use(t, &out); out.String() != p.want {
					t.Errorf("got %q, want %q", &out, p.want)
				}
			})
		}
	}
}

// Each program over fmmap has fewer statements than the one over mmap-go, with
// those of the helpers that this one uses.
func TestFewerStatements(t *testing.T) {
	helpers := declared(t, "mmapgo.go")
	for _, p := range programs {
		name := p.name + "_mmapgo.go"
		ours, theirs := statements(t, p.name+"_fmmap.go", nil), statements(t, name, helpers)
		t.Logf("%-8s  %3d over fmmap, %3d over mmap-go, %d of them of helpers", p.name, ours, theirs, theirs-statements(t, name, nil))
		if ours == 0 || ours >= theirs {
			t.Errorf("%s: %d statements over fmmap, %d over mmap-go", p.name, ours, theirs)
		}
	}
}

func parse(t *testing.T, name string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// declared returns the functions of a file by name.
func declared(t *testing.T, name string) map[string]ast.Node {
	t.Helper()
	functions := map[string]ast.Node{}
	for _, d := range parse(t, name).Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			functions[fn.Name.Name] = fn
		}
	}
	return functions
}

// statements counts the statements of a file, and once those of each helper that
// it or one of these names.
func statements(t *testing.T, name string, helpers map[string]ast.Node) (n int) {
	t.Helper()
	counted := map[string]bool{}
	var count func(ast.Node)
	count = func(in ast.Node) {
		ast.Inspect(in, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.BlockStmt, *ast.EmptyStmt:
			case ast.Stmt:
				n++
			case *ast.Ident:
				if h := helpers[node.Name]; h != nil && !counted[node.Name] {
					counted[node.Name] = true
					count(h)
				}
			}
			return true
		})
	}
	count(parse(t, name))
	return n
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func useIndex(t *testing.T, open func(string) (index, error), out io.Writer) {
	name := filepath.Join(t.TempDir(), "index")
	check(t, os.WriteFile(name, []byte("apple\tred\nbanana\tyellow\n"), 0o600))
	x, err := open(name)
	check(t, err)
	for _, key := range []string{"banana", "cherry"} {
		value, err := x.Lookup(key)
		check(t, err)
		fmt.Fprintln(out, value)
	}
	next := name + ".next"
	check(t, os.WriteFile(next, []byte("apple\tgreen\n"+strings.Repeat("x\ty\n", 1<<16)), 0o600))
	check(t, os.Rename(next, name))
	check(t, x.Reload())
	value, err := x.Lookup("apple")
	check(t, err)
	fmt.Fprintln(out, value)
	check(t, os.Truncate(name, 12))
	_, err = x.Lookup("zebra")
	fmt.Fprintln(out, "cut short:", err != nil)
	check(t, x.Close())
}

func useQueue(t *testing.T, open func(string) (queue, error), out io.Writer) {
	name := filepath.Join(t.TempDir(), "queue")
	q, err := open(name)
	check(t, err)
	take := func(n int) {
		t.Helper()
		lines, err := q.Take(n)
		check(t, err)
		if len(lines) > 2 {
			fmt.Fprintln(out, len(lines), "more")
			return
		}
		fmt.Fprintln(out, lines)
	}
	check(t, q.Put("line 0", "line 1", "line 2"))
	take(2)
	check(t, q.Close())
	q, err = open(name)
	check(t, err)
	take(1)
	var lines []string
	for i := range 500 { // more than the file had room for
		lines = append(lines, "line "+strconv.Itoa(i))
	}
	check(t, q.Put(lines...))
	take(1000)
	take(1)
	check(t, q.Put("last"))
	take(1)
	check(t, q.Close())
}

func usePipeline(t *testing.T, run func(from, to string, chunk int64) error, out io.Writer) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	check(t, os.WriteFile(from, make([]byte, 2*4096+1000), 0o600))
	check(t, run(from, to, 4096))
	sums, err := os.ReadFile(to)
	check(t, err)
	var words []string
	for ; len(sums) >= sumSize; sums = sums[sumSize:] {
		words = append(words, fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sums)))
	}
	fmt.Fprintln(out, strings.Join(words, " "))
}

const (
	processes = 2
	adds      = 20
)

// addOften is what each of the processes does.
func addOften(add func(string, int, uint64) (uint64, error)) error {
	testutil.Say("ready")
	testutil.Hear()
	for range adds {
		if _, err := add(os.Getenv("FILE"), 7, 1); err != nil {
			return err
		}
	}
	return nil
}

func useCounter(t *testing.T, role string, add func(string, int, uint64) (uint64, error), out io.Writer) {
	testutil.RequireProcesses(t)
	name := filepath.Join(t.TempDir(), "counters")
	var all []*testutil.Process
	for range processes {
		all = append(all, testutil.Reexec(t, role, "FILE="+name))
	}
	for _, p := range all {
		p.Hear()
	}
	for _, p := range all {
		p.Say("go")
	}
	for _, p := range all {
		_, err := p.Wait()
		check(t, err)
	}
	sum, err := add(name, 7, 1)
	check(t, err)
	fmt.Fprintln(out, sum)
}

func useTable(t *testing.T, open func(string) (table, error), out io.Writer) {
	const rows = 2000 // some growths
	name := filepath.Join(t.TempDir(), "table")
	b, err := open(name)
	check(t, err)
	row := func(i int64) (r [rowSize]byte) {
		binary.LittleEndian.PutUint64(r[:], uint64(i))
		return r
	}
	// read gets the rows in order, and waits for those that are still to come.
	var written atomic.Bool
	read := func() error {
		for i := int64(0); i < rows; {
			last := written.Load()
			r, err := b.Get(i)
			if errors.Is(err, io.EOF) && !last {
				runtime.Gosched()
				continue
			}
			if err != nil || r != row(i) {
				return fmt.Errorf("row %d: %x, %v", i, r, err)
			}
			i++
		}
		return nil
	}
	var wg sync.WaitGroup
	failed := make([]error, 2)
	for i := range failed {
		wg.Go(func() { failed[i] = read() })
	}
	for i := range int64(rows) {
		if err = b.Append(row(i)); err != nil {
			break
		}
	}
	written.Store(true)
	wg.Wait()
	check(t, errors.Join(append(failed, err)...))
	fmt.Fprintln(out, rows, "rows")
	_, err = b.Get(rows)
	fmt.Fprintln(out, err)
	check(t, b.Close())
	b, err = open(name)
	check(t, err)
	check(t, read())
	fmt.Fprintln(out, rows, "rows after reopening")
	check(t, b.Close())
}
