package core_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/core"
)

// What uses no bytes and fails in no way of its own is in no list of
// operations, and a twin is in one with its other half.
var noOperations = map[string]string{
	"Access": "a constant", "Name": "a constant", "Len": "never fails", "Fd": "never fails", "InUse": "never fails", "Order": "never fails", "Seen": "never fails", "String": "never fails",
	"NewLock": "of package lock", "FreezeExec": "see Freeze", "StartClose": "see Close", "CopyToContext": "see CopyTo", "StartCopy": "see CopyTo",
	"Remove": "changes the directory: remove_test.go", "SetRemoveOnClose": "see Remove", "Dup": "of the descriptor: map_test.go",
}

// No exported method of a File is missing from the lists of operations: those
// of the tests of errors and closing (operations), those that the model test
// does (kinds), and those that the races of internal/torture do. The lists
// differ in what they do with an operation, so they are not one.
func TestEveryMethodIsInTheListsOfOperations(t *testing.T) {
	listed := make(map[string]bool)
	for _, op := range operations {
		listed[op.name] = true
	}
	sources := map[string]struct {
		call    string // how a method is called there
		without string // that it leaves out
	}{
		// One goroutine at a time closes and freezes the file of a model.
		"actions_test.go":                       {".f.", " Clone View CloseTruncate Freeze Close CloseContext Truncate TruncateContext StartTruncate "},
		"../internal/torture/races_ops_test.go": {".Core().", " CopyTo CloseTruncate Close CloseContext Truncate "},
	}
	text := make(map[string]string)
	for name := range sources {
		b, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // only the test binary is here
		}
		check(t, err)
		text[name] = string(b)
	}
	for m := range reflect.TypeFor[*core.File]().Methods() {
		if noOperations[m.Name] != "" {
			continue
		}
		if !listed[m.Name] {
			t.Errorf("operations has no %s", m.Name)
		}
		for name, s := range sources {
			called := strings.Contains(text[name], s.call+m.Name+"(")
			if text[name] != "" && !called && !strings.Contains(s.without, " "+m.Name+" ") {
				t.Errorf("%s does not call %s", name, m.Name)
			}
		}
	}
}
