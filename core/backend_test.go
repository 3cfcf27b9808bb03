package core_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fmmap-go/fmmap/core"
)

// backend is one way to have bytes mapped.
type backend struct {
	name string
	// open gives a window with these contents.
	open func(t testing.TB, b []byte) *core.File
	// store, resize and flush are the errors of a store, of Truncate and of
	// Flush.
	store, resize, flush error
	file                 bool // there is a file behind it
	private              bool // and stores do not reach it
}

func disk(o core.Options) func(testing.TB, []byte) *core.File {
	return func(t testing.TB, b []byte) *core.File { return opened(t, tempFile(t, b), o) }
}

// window maps a fixed window at an odd offset of a larger file.
func window(o core.Options) func(testing.TB, []byte) *core.File {
	return func(t testing.TB, b []byte) *core.File {
		o := o
		o.Offset, o.Length = 70_001, int64(len(b))
		return opened(t, tempFile(t, append(append(pattern(70_001, 9), b...), "behind"...)), o)
	}
}

var backends = []backend{
	{name: "disk", open: disk(core.Options{Access: core.ReadWrite}), file: true},
	{name: "disk without reservation", open: disk(core.Options{Access: core.ReadWrite, Reserve: 1}), file: true},
	{name: "sparse", open: disk(core.Options{Access: core.ReadWrite, Sparse: true, NoLock: true}), file: true},
	{name: "populated, huge pages", open: disk(core.Options{Access: core.ReadWrite, Populate: true, HugePages: true}), file: true},
	{name: "window", open: window(core.Options{Access: core.ReadWrite}), file: true},
	{name: "stores through the map", open: disk(core.Options{Access: core.ReadWrite, Stores: core.ViaMap}), file: true},
	{name: "stores by call", open: disk(core.Options{Access: core.ReadWrite, Stores: core.ViaCall, NoLock: true}), file: true},
	{name: "reads and stores through the map", open: disk(core.Options{Access: core.ReadWrite, Stores: core.ViaMap, Reads: core.ViaMap}), file: true},
	{name: "reads by call", open: disk(core.Options{Access: core.ReadWrite, Reads: core.ViaCall}), file: true},
	{name: "read-only, by call", open: disk(core.Options{Reads: core.ViaCall}), store: core.ErrReadOnly, resize: core.ErrReadOnly, flush: core.ErrReadOnly, file: true},
	{name: "copy-on-write, by call", open: disk(core.Options{Access: core.CopyOnWrite, Reads: core.ViaCall}), resize: core.ErrReadOnly, flush: core.ErrReadOnly, file: true, private: true},
	{name: "read-only", open: disk(core.Options{}), store: core.ErrReadOnly, resize: core.ErrReadOnly, flush: core.ErrReadOnly, file: true},
	{name: "read-only window", open: window(core.Options{}), store: core.ErrReadOnly, resize: core.ErrReadOnly, flush: core.ErrReadOnly, file: true},
	{name: "executable", open: disk(core.Options{Access: core.ReadExec}), store: core.ErrReadOnly, resize: core.ErrReadOnly, flush: core.ErrReadOnly, file: true},
	{name: "copy-on-write", open: disk(core.Options{Access: core.CopyOnWrite}), resize: core.ErrReadOnly, flush: core.ErrReadOnly, file: true, private: true},
	{name: "copy-on-write window", open: window(core.Options{Access: core.CopyOnWrite}), resize: core.ErrReadOnly, flush: core.ErrReadOnly, file: true, private: true},
	{name: "memory", open: memory},
	{name: "anonymous", open: anonymous(core.Options{})},
	{name: "stack", open: anonymous(core.Options{Stack: true, Reserve: 1})},
	{name: "anonymous, huge pages", open: anonymous(core.Options{HugePages: true, Populate: true})},
}

func memory(t testing.TB, b []byte) *core.File {
	f := core.NewMemory("memory", append([]byte{}, b...))
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func anonymous(o core.Options) func(testing.TB, []byte) *core.File {
	return func(t testing.TB, b []byte) *core.File {
		f, err := core.NewAnonymous(int64(len(b)), o)
		check(t, err)
		t.Cleanup(func() { _ = f.Close() })
		_, err = f.WriteAt(b, 0)
		check(t, err)
		return f
	}
}

// onEach runs a test over every back end.
func onEach(t *testing.T, test func(t *testing.T, b backend)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) { test(t, b) })
	}
}

func TestEveryBackend(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		want := string(pattern(100*KiB+7, 1))
		f := b.open(t, []byte(want))
		var before []byte
		if b.file {
			before, _ = os.ReadFile(f.Name())
		}
		if f.Len() != int64(len(want)) || string(contents(t, f)) != want {
			t.Fatalf("%d bytes, or other ones", f.Len())
		}
		if fi, err := f.Stat(); err != nil || b.file && fi.Size() != int64(len(before)) || !b.file && fi.Size() != f.Len() || fi.IsDir() {
			t.Errorf("Stat: %v, %v", fi, err)
		}
		if got := f.Fd() != ^uintptr(0); got != b.file {
			t.Errorf("there is a descriptor: %v", got)
		}
		stores := map[string]error{
			"WriteAt":   second(f.WriteAt([]byte("stored"), 5000)),
			"Update":    f.Update(func(v []byte) error { copy(v[5000:], "stored"); return nil }),
			"Zero":      f.Zero(0, 0),
			"NewWriter": second(f.NewWriter(0, 1)),
		}
		for name, err := range stores {
			if !errors.Is(err, b.store) || b.store == nil && err != nil {
				t.Errorf("%s: %v, want %v", name, err, b.store)
			}
		}
		if b.store == nil {
			want = want[:5000] + "stored" + want[5006:]
		}
		for name, err := range map[string]error{"Flush": f.Flush(), "FlushRange": f.FlushRange(1, 2), "StartWriteback": f.StartWriteback(0, 10)} {
			if name == "StartWriteback" && missingHere(err) {
				continue
			}
			if !errors.Is(err, b.flush) || b.flush == nil && err != nil {
				t.Errorf("%s: %v, want %v", name, err, b.flush)
			}
		}
		check(t, f.Populate(0, f.Len()))
		if pages, of, err := f.Resident(0, f.Len()); !missingHere(err) && (err != nil || pages != of || of < f.Len()/(64*KiB)) {
			t.Errorf("%d of %d pages are resident once populated, %v", pages, of, err)
		}
		if got, err := f.Clone(); err != nil || string(got) != want {
			t.Errorf("Clone differs, %v", err)
		}
		to := filepath.Join(t.TempDir(), "copy")
		check(t, f.CopyTo(to, 1, f.Len()-1))
		if got, err := os.ReadFile(to); err != nil || string(got) != want[1:] {
			t.Errorf("CopyTo differs, %v", err)
		}
		if err := f.Truncate(sizeOf(t, f, f.Len()-1)); !errors.Is(err, b.resize) || b.resize == nil && err != nil {
			t.Errorf("Truncate: %v, want %v", err, b.resize)
		}
		if n, err := f.Refresh(); n != f.Len() || err != nil {
			t.Errorf("Refresh: %d, %v", n, err)
		}
		check(t, f.Freeze())
		if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("a store into a frozen file: %v", err)
		}
		check(t, f.Close())
		if after, _ := os.ReadFile(f.Name()); b.file && (b.private || b.store != nil) && string(after) != string(before) {
			t.Error("the file changed")
		}
	})
}

// What is stored into a private mapping never reaches the file, whatever is
// called.
func TestCopyOnWriteNeverWrites(t *testing.T) {
	want := pattern(64*KiB, 1)
	name := tempFile(t, want)
	f := opened(t, name, core.Options{Access: core.CopyOnWrite})
	check(t, f.Update(func(b []byte) error { clear(b); return nil }))
	for what, err := range map[string]error{
		"Flush": f.Flush(), "FlushRange": f.FlushRange(0, 10), "Truncate": f.Truncate(10), "PunchHole": f.PunchHole(0, 4*KiB),
		"CloseTruncate": f.CloseTruncate(0), "StartWriteback": f.StartWriteback(0, 10),
	} {
		if !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
	}
	check(t, f.Freeze())
	check(t, f.Close())
	if got, err := os.ReadFile(name); err != nil || string(got) != string(want) {
		t.Errorf("the file changed, %v", err)
	}
}
