// Package core has the shape of the real one.
package core

import "context"

type File struct{}
type Pin struct{}
type Options struct{}

func Open(name string) (*File, error)                { return nil, nil }
func (f *File) Pin(off, n int64) (*Pin, error)       { return nil, nil }
func (f *File) View(fn func(b []byte) error) error   { return nil }
func (f *File) Update(fn func(b []byte) error) error { return nil }
func (f *File) Flush() error                         { return nil }
func (f *File) FlushRange(off, n int64) error        { return nil }
func (f *File) Len() int64                           { return 0 }
func (f *File) Truncate(size int64) error            { return nil }
func (f *File) Freeze() error                        { return nil }
func (f *File) Close() error                         { return nil }
func (f *File) CloseContext(context.Context) error   { return nil }
func (f *File) CloseTruncate(size int64) error       { return nil }
func (p *Pin) Bytes() []byte                         { return nil }
func (p *Pin) Len() int64                            { return 0 }
func (p *Pin) Offset() int64                         { return 0 }
func (p *Pin) Do(fn func(b []byte) error) error      { return nil }
func (p *Pin) Populate() error                       { return nil }
func (p *Pin) Release()                              {}
func (p *Pin) Slice(off, n int64) (*Pin, error)      { return nil, nil }
func (p *Pin) Extend(n int64) (*Pin, bool, error)    { return nil, false, nil }

func At[T any](p *Pin, off int64) (*T, error)            { return nil, nil }
func Slice[T any](p *Pin, off int64, n int) ([]T, error) { return nil, nil }
