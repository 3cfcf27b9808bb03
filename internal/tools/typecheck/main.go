// Command typecheck type-checks packages and all that they import, for the
// system that GOOS and GOARCH name:
//
//	GOOS=linux GOARCH=riscv64 typecheck ./core
//
// It finds most of what a compiler would object to in a twentieth of the time,
// since it compiles nothing: go vet and go build first compile the standard
// library for that system. What they alone find is in assembly and in linking.
package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/tools/go/packages"
)

func main() {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedDeps |
			packages.NeedTypes | packages.NeedTypesSizes,
	}, os.Args[1:]...)
	if err == nil && packages.PrintErrors(loaded) > 0 {
		err = errors.New("there are errors")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "typecheck:", err)
		os.Exit(1)
	}
}
