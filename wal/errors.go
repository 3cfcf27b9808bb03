package wal

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound is returned for an index that the log does not hold: not
	// durable yet, or truncated away.
	ErrNotFound = errors.New("wal: no such record")
	// ErrCorrupt matches every [*CorruptError].
	ErrCorrupt = errors.New("wal: corrupt log")
	// ErrTooLarge is returned for a record longer than [MaxRecord], and for a
	// map of [Log.Set] that does not fit into its slot.
	ErrTooLarge = errors.New("wal: too large")
	// ErrIndex is returned by [Log.AppendAt] for an index that is not the next
	// one, and by [Log.Reset] for index 0.
	ErrIndex = errors.New("wal: index is not the next one")
	// ErrNotALog is returned by [Open] for a directory whose meta file is
	// something else, or of a later version of the format.
	ErrNotALog = errors.New("wal: not a log")
)

// A CorruptError reports damage that no crash explains: bytes that were durable
// differ from those that were stored.
//
// errors.Is(err, [ErrCorrupt]) holds for it.
type CorruptError struct {
	File   string // the damaged file, or the directory if a file is missing
	Offset int64  // of the damage in the file
	Reason string // why the bytes there cannot be right
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("wal: %s is corrupt at offset %d: %s", e.File, e.Offset, e.Reason)
}

// Is makes a CorruptError match [ErrCorrupt].
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
