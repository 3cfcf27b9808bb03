package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/pprof"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

var bucket = []byte("b")

// put stores n keys, in transactions of 100.
func put(db *bbolt.DB, from, n int) error {
	for ; n > 0; from, n = from+100, n-100 {
		err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucket)
			for i := from; i < from+100; i++ {
				err = errors.Join(err, b.Put(fmt.Appendf(nil, "%08d", i), make([]byte, 100)))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// count returns how many keys a database has, and checks its pages.
func count(t *testing.T, db *bbolt.DB) (n int) {
	t.Helper()
	err := db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return tx.Bucket(bucket).ForEach(func(_, _ []byte) error { n++; return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWarmAndSnapshot(t *testing.T) {
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	dir := t.TempDir()
	name := filepath.Join(dir, "db")
	db, err := Open(t.Context(), pool, name, bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := put(db.DB, 0, 5000); err != nil {
		t.Fatal(err)
	}
	if err := db.Warm(t.Context()); err != nil {
		t.Error(err)
	}
	if n := db.file.Core().Len(); n < 5000*100 {
		t.Errorf("%d bytes are mapped, which is not all of it", n)
	}

	// While another goroutine stores.
	stored := make(chan error, 1)
	go func() { stored <- put(db.DB, 5000, 5000) }()
	for i := range 5 {
		snapshot := filepath.Join(dir, fmt.Sprint("snapshot", i))
		if err := db.Snapshot(t.Context(), snapshot); err != nil {
			t.Fatal(err)
		}
		old, err := bbolt.Open(snapshot, 0o600, &bbolt.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if n := count(t, old); n < 5000 || n > 10000 || n%100 != 0 {
			t.Errorf("the snapshot has %d keys", n)
		}
		if err := old.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-stored; err != nil {
		t.Error(err)
	}
	if n := count(t, db.DB); n != 10000 {
		t.Errorf("the database has %d keys", n)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// A database that cannot be opened leaves nothing mapped or open.
func TestOpenOfNoDatabase(t *testing.T) {
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	name := filepath.Join(t.TempDir(), "db")
	f, err := core.Create(name, 1<<20) // zeros
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	core.Track(core.Tracking{Files: true})
	defer core.Track(core.Tracking{})
	if _, err := Open(t.Context(), pool, name, bbolt.Options{}); err == nil {
		t.Fatal("it was opened")
	}
	if n := pprof.Lookup("fmmap.files").Count(); n != 0 {
		t.Errorf("%d files are open", n)
	}
}

// What a transaction commits is in the mapping beside that of bbolt, and what it
// rolls back is not.
func TestMappingShowsWhatIsCommitted(t *testing.T) {
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	db, err := Open(t.Context(), pool, filepath.Join(t.TempDir(), "db"), bbolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rolledBack := errors.New("rolled back")
	for value, outcome := range map[string]error{"a committed value": nil, "another value": rolledBack} {
		err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucket)
			if err == nil {
				err = b.Put([]byte(value), []byte(value))
			}
			return errors.Join(err, outcome)
		})
		if !errors.Is(err, outcome) {
			t.Fatal(err)
		}
		if _, err := db.file.Core().Refresh(); err != nil {
			t.Fatal(err)
		}
		err = db.file.Core().View(func(b []byte) error {
			if got := bytes.Contains(b, []byte(value)); got != (outcome == nil) {
				t.Errorf("%q is in the mapping: %v", value, got)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
