package vet_test

import (
	"testing"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/fmmap-go/fmmap/cmd/fmmapvet/vet"
)

// The analyzers together report the lines marked "want" in the folders of
// testdata, and nothing in the programs below right. They run as one: most of
// the time goes into reading what the programs import.
func TestAnalyzers(t *testing.T) {
	all := &analysis.Analyzer{Name: "all", Doc: "run all analyzers", Run: func(pass *analysis.Pass) (any, error) {
		for _, a := range vet.Analyzers() {
			if _, err := a.Run(pass); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}}
	var programs []string
	for _, a := range vet.Analyzers() {
		all.Requires = append(all.Requires, a.Requires...)
		programs = append(programs, a.Name, "right/"+a.Name)
	}
	programs = append(programs, "pinrelease/closing", "pinrelease/deferring", "right/pinrelease/ending")
	analysistest.Run(t, analysistest.TestData(), all, programs...)
}
