// Command report reads the output of go test -json and prints what matters: a
// line for each package, the output of what failed, and every test that was
// skipped with its reason. It fails when a test failed, when a package did not
// finish, and, with -noskip, when a test was skipped.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of what did not build
	Elapsed                       float64
}

type key struct{ pkg, test string }

func main() {
	noskip := flag.Bool("noskip", false, "fail when a test was skipped")
	flag.Parse()
	output := map[key][]string{}
	var skipped []string
	failed := false
	in := bufio.NewReader(os.Stdin)
	for {
		text, err := in.ReadBytes('\n')
		if len(text) == 0 && err != nil {
			break
		}
		var e event
		if json.Unmarshal(text, &e) != nil {
			fmt.Print(string(text)) // not of go test: show it
			continue
		}
		k := key{e.Package, e.Test}
		switch e.Action {
		case "output", "build-output":
			if e.Package == "" {
				k.pkg = e.ImportPath
			}
			output[k] = append(output[k], e.Output)
		case "build-fail":
			failed = true
			fmt.Printf("FAIL  %s does not build\n%s", e.ImportPath, strings.Join(output[key{e.ImportPath, ""}], ""))
		case "fail":
			failed = true
			fmt.Printf("FAIL  %s %s %.1fs\n%s", e.Package, e.Test, e.Elapsed, strings.Join(output[k], ""))
		case "skip":
			if e.Test != "" {
				skipped = append(skipped, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(output[k])))
			}
		case "pass":
			if e.Test == "" {
				fmt.Printf("ok    %s %.1fs\n", e.Package, e.Elapsed)
			}
		}
		if e.Test != "" && e.Action != "output" && e.Action != "run" && e.Action != "fail" {
			if i := slices.IndexFunc(output[k], func(s string) bool { return strings.Contains(s, "counted: ") }); i >= 0 {
				fmt.Print(output[k][i]) // what a long test has done
			}
			delete(output, k)
		}
	}
	for _, s := range skipped {
		fmt.Println("skip ", s)
	}
	if failed || *noskip && len(skipped) > 0 {
		os.Exit(1)
	}
}

// reason is what a skipped test said.
func reason(lines []string) string {
	var said []string
	for _, l := range lines {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "===") && !strings.HasPrefix(l, "---") {
			said = append(said, l)
		}
	}
	return strings.Join(said, " ")
}
