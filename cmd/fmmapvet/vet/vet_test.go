package vet_test

import (
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/fmmap-go/fmmap/cmd/fmmapvet/vet"
)

// Each analyzer reports the lines marked "want" in its folder of testdata, and
// nothing in the programs below right, its own counterparts and those of the
// others.
func TestAnalyzers(t *testing.T) {
	var right []string
	for _, a := range vet.Analyzers() {
		right = append(right, "right/"+a.Name)
	}
	for _, a := range vet.Analyzers() {
		t.Run(a.Name, func(t *testing.T) {
			analysistest.Run(t, analysistest.TestData(), a, append(right, a.Name)...)
		})
	}
}
