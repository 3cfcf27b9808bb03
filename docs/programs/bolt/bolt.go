// Package bolt maps the file of a bbolt database a second time, to warm it and to
// copy it.
package bolt

import (
	"context"
	"errors"
	"os"

	"go.etcd.io/bbolt"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// DB is a database and a mapping of its file, which has the pages of memory that
// bbolt's own mapping has.
type DB struct {
	*bbolt.DB
	file *async.File
}

// Open opens a database with the options o, and maps the file that it has opened.
func Open(ctx context.Context, pool *async.Pool, name string, o bbolt.Options) (*DB, error) {
	db := &DB{}
	o.OpenFile = func(name string, flag int, perm os.FileMode) (*os.File, error) {
		file, err := os.OpenFile(name, flag, perm)
		if err != nil {
			return nil, err
		}
		// To read, and without the lock, which bbolt takes.
		db.file, err = async.Map(ctx, pool, file, core.Options{NoLock: true}).Await(ctx)
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return file, nil
	}
	var err error
	if db.DB, err = bbolt.Open(name, 0o600, &o); err != nil {
		if db.file != nil {
			err = errors.Join(err, db.file.Close())
		}
		return nil, err
	}
	return db, nil
}

// Close closes the database and the mapping.
func (db *DB) Close() error { return errors.Join(db.DB.Close(), db.file.Close()) }

// Warm brings the whole file into memory. The pages that transactions touch are
// there then, so that they hold no processor while a disk reads.
func (db *DB) Warm(ctx context.Context) error {
	size, err := db.file.Core().Refresh() // bbolt has made the file longer since
	if err != nil {
		return err
	}
	_, err = db.file.PageIn(ctx, 0, size).Await(ctx)
	return err
}

// Snapshot makes a durable copy of the database, which shares the blocks of the file
// where the file system can. Writers wait meanwhile, and readers do not.
func (db *DB) Snapshot(ctx context.Context, name string) error {
	tx, err := db.Begin(true) // so that nothing is written
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	size, err := db.file.Core().Refresh()
	if err != nil {
		return err
	}
	_, err = db.file.CopyTo(ctx, name, 0, size).Await(ctx)
	return err
}
