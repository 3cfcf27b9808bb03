// Fmmapvet reports mistakes in programs that use
// github.com/fmmap-go/fmmap: pins that are not released, bytes that outlive
// their mapping, defers that run too early, flushes whose outcome is lost, and
// calls that wait for their own caller.
//
// It runs by itself, and as a tool of go vet:
//
//	fmmapvet ./...
//	go vet -vettool=$(which fmmapvet) ./...
//
// Package vet has the analyzers for other drivers.
package main

import (
	"golang.org/x/tools/go/analysis/multichecker"

	"github.com/fmmap-go/fmmap/cmd/fmmapvet/vet"
)

func main() { multichecker.Main(vet.Analyzers()...) }
