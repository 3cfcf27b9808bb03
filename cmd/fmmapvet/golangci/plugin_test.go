package golangci_test

import (
	"testing"

	"github.com/golangci/plugin-module-register/register"

	_ "github.com/fmmap-go/fmmap/cmd/fmmapvet/golangci"
)

func TestPluginIsRegistered(t *testing.T) {
	newPlugin, err := register.GetPlugin("fmmapvet")
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPlugin(nil)
	if err != nil {
		t.Fatal(err)
	}
	if analyzers, err := p.BuildAnalyzers(); err != nil || len(analyzers) == 0 {
		t.Errorf("%d analyzers, %v", len(analyzers), err)
	}
	if p.GetLoadMode() != register.LoadModeTypesInfo {
		t.Errorf("load mode %q", p.GetLoadMode())
	}
}
