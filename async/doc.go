// Package async runs the work of memory-mapped files without blocking whoever
// asks for it, and hands out futures of its results.
package async
