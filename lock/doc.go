// Package lock has advisory file locks that wait in a queue.
package lock
