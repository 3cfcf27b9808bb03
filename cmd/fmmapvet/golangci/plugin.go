// Package golangci makes the analyzers available to golangci-lint, as a plugin
// of its module system. List the module and import of this package in
// .custom-gcl.yml, and enable the linter fmmapvet.
package golangci

import (
	"github.com/golangci/plugin-module-register/register"
	"golang.org/x/tools/go/analysis"

	"github.com/fmmap-go/fmmap/cmd/fmmapvet/vet"
)

// golangci-lint finds a plugin by what it registers while it is initialised;
// its module system has no other way.
func init() { register.Plugin("fmmapvet", New) }

// New returns the plugin. It has no settings.
func New(any) (register.LinterPlugin, error) { return plugin{}, nil }

type plugin struct{}

// BuildAnalyzers returns the analyzers of package vet.
func (plugin) BuildAnalyzers() ([]*analysis.Analyzer, error) { return vet.Analyzers(), nil }

// GetLoadMode asks for packages with their types.
func (plugin) GetLoadMode() string { return register.LoadModeTypesInfo }
