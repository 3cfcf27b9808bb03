//go:build go1.27

package core

import "encoding/binary"

// This file has functions of the package once more, as methods with type
// parameters, which Go 1.27 brought. Others do not build it.

// Get is [Get] as a method.
func (f *File) Get[T Fixed](off int64, order binary.ByteOrder) (T, error) {
	return Get[T](f, off, order)
}

// Put is [Put] as a method.
func (f *File) Put[T Fixed](off int64, order binary.ByteOrder, v T) error {
	return Put(f, off, order, v)
}

// GetSlice is [GetSlice] as a method.
func (f *File) GetSlice[T Fixed](off int64, order binary.ByteOrder, dst []T) error {
	return GetSlice(f, off, order, dst)
}

// PutSlice is [PutSlice] as a method.
func (f *File) PutSlice[T Fixed](off int64, order binary.ByteOrder, src []T) error {
	return PutSlice(f, off, order, src)
}

// At is [At] as a method. There is none for [Slice], whose name [Pin.Slice] has.
func (p *Pin) At[T any](off int64) (*T, error) { return At[T](p, off) }

// Next is [Next] as a method.
func (r *Reader) Next[T Fixed](order binary.ByteOrder) (T, error) { return Next[T](r, order) }

// PutNext is [PutNext] as a method.
func (w *Writer) PutNext[T Fixed](order binary.ByteOrder, v T) error { return PutNext(w, order, v) }
