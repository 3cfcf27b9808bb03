package core_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"reflect"
	"runtime/debug"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"unique"

	"github.com/fmmap-go/fmmap/core"
)

// The guard catches every kind of access that the documentation lists, on
// bytes whose page is gone.
func TestGuardCatchesEachKindOfAccess(t *testing.T) {
	f := shortened(t, core.Options{Access: core.ReadWrite})
	heap := make([]byte, 8*KiB)
	table := map[string]int{"a": 1}
	var sinkByte byte
	var sinkAny any
	for name, touch := range map[string]func(b []byte){
		"load":             func(b []byte) { sinkByte = b[0] },
		"store":            func(b []byte) { b[0] = 1 },
		"copy from":        func(b []byte) { copy(heap, b) },
		"copy to":          func(b []byte) { copy(b, heap) },
		"clear":            func(b []byte) { clear(b) },
		"bytes.Equal":      func(b []byte) { sinkAny = bytes.Equal(b, heap[:len(b)]) },
		"bytes.Compare":    func(b []byte) { sinkAny = bytes.Compare(b, heap) },
		"bytes.IndexByte":  func(b []byte) { sinkAny = bytes.IndexByte(b, 7) },
		"bytes.Count":      func(b []byte) { sinkAny = bytes.Count(b, []byte{7}) },
		"append":           func(b []byte) { heap = append(heap[:0], b...) },
		"string":           func(b []byte) { sinkAny = string(b) },
		"concatenation":    func(b []byte) { sinkAny = "x" + string(b) + "y" },
		"strings.Builder":  func(b []byte) { var s strings.Builder; s.Write(b); sinkAny = s.String() },
		"map lookup":       func(b []byte) { sinkAny = table[string(b[:10])] },
		"map assignment":   func(b []byte) { table[string(b[:10])] = 2 },
		"unique.Make":      func(b []byte) { sinkAny = unique.Make([8]byte(b[:8])) },
		"crc32":            func(b []byte) { sinkAny = crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) },
		"sha256":           func(b []byte) { sinkAny = sha256.Sum256(b) },
		"reflect.Copy":     func(b []byte) { reflect.Copy(reflect.ValueOf(heap), reflect.ValueOf(b)) },
		"json.Valid":       func(b []byte) { sinkAny = json.Valid(b) },
		"fmt":              func(b []byte) { sinkAny = fmt.Sprintf("%x", b) },
		"array copy":       func(b []byte) { sinkAny = [4096]byte(b[:4096]) },
		"sort.Search":      func(b []byte) { sinkAny = sort.Search(len(b), func(i int) bool { return b[i] > 7 }) },
		"array comparison": func(b []byte) { sinkAny = [16]byte(b[:16]) == [16]byte(heap) },
		"interface ==":     func(b []byte) { sinkAny = any([4]byte(b[:4])) == any([4]byte{}) },
		"string switch": func(b []byte) {
			switch string(b[:5]) {
			case "abcde", "fghij":
				sinkByte++
			}
		},
		"string comparison": func(b []byte) { sinkAny = string(b[:3]) == "abc" },
		"receive into": func(b []byte) {
			ch := make(chan byte, 1)
			ch <- 1
			b[5] = <-ch
		},
		"range": func(b []byte) {
			for _, c := range b {
				sinkByte += c
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := f.Update(func(b []byte) error { touch(b[MiB/2 : MiB/2+8*KiB]); return nil })
			wantFault(t, f, err, MiB/2, MiB/2+8*KiB)
		})
	}
	t.Run("atomic", func(t *testing.T) {
		p := pinned(t, f, MiB/2, 4*KiB)
		n, err := core.At[atomic.Uint64](p, 0)
		check(t, err)
		for name, touch := range map[string]func(){
			"load": func() { n.Load() }, "add": func() { n.Add(1) }, "swap": func() { n.CompareAndSwap(0, 1) },
		} {
			err := p.Do(func([]byte) error { touch(); return nil })
			if err == nil {
				t.Errorf("%s: no fault", name)
				continue
			}
			wantFault(t, f, err, MiB/2, MiB/2+8)
		}
	})
	_, _ = sinkByte, sinkAny
}

//go:noinline
func raiseFromHere() { panic("mine") }

// The trace of a panic that passes through still shows where it came from.
func TestPanicKeepsItsStack(t *testing.T) {
	f := core.NewMemory("m", make([]byte, 10))
	defer f.Close()
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("recovered %v", v)
		}
		if trace := string(debug.Stack()); !strings.Contains(trace, "raiseFromHere") {
			t.Errorf("the trace does not show the origin:\n%s", trace)
		}
	}()
	_ = f.View(func([]byte) error { raiseFromHere(); return nil })
}

// A guard leaves the goroutine's own setting as it found it.
func TestGuardRestoresPanicOnFault(t *testing.T) {
	f := shortened(t, core.Options{})
	for _, before := range []bool{false, true} {
		debug.SetPanicOnFault(before)
		_ = f.View(func(b []byte) error {
			_ = f.View(func(b []byte) error { return nil }) // nested
			_ = string(b[MiB-1:])
			return nil
		})
		if got := debug.SetPanicOnFault(false); got != before {
			t.Errorf("it was %v and is %v", before, got)
		}
	}
}

// The end of a use through a pin leaves the guard of the operation around it in
// place, and none where there was none.
func TestPinLeavesTheGuardAroundIt(t *testing.T) {
	f := shortened(t, core.Options{})
	p := pinned(t, f, 0, 10)
	for _, do := range map[string]func() error{
		"returns": func() error { return p.Do(func([]byte) error { return nil }) },
		"panics": func() (err error) {
			defer func() { _ = recover() }()
			return p.Do(func([]byte) error { panic("mine") })
		},
	} {
		err := f.View(func(b []byte) error {
			check(t, do())
			_ = string(b[MiB-1:])
			return nil
		})
		wantFault(t, f, err, MiB-1, MiB)
		for _, before := range []bool{false, true} {
			debug.SetPanicOnFault(before)
			check(t, do())
			if got := debug.SetPanicOnFault(false); got != before {
				t.Errorf("it was %v and is %v", before, got)
			}
		}
	}
}
