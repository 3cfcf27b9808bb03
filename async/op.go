package async

import (
	"context"
	"runtime/pprof"
	"sync"
)

// An op names what a task does, in hooks, in profiles (the label "fmmap") and
// in execution traces (the region "fmmap." and the name).
type op uint8

const (
	opGo op = iota
	opThen
	opOpen
	opPageIn
	opLoad
	opAdvise
	opRead
	opWrite
	opFlush
	opTruncate
	opLock
	opCopy
	opRemove
	opClose
	ops
)

var opNames = [ops]string{
	opGo:       "go",
	opThen:     "then",
	opOpen:     "open",
	opPageIn:   "page-in",
	opLoad:     "load",
	opAdvise:   "advise",
	opRead:     "read",
	opWrite:    "write",
	opFlush:    "flush",
	opTruncate: "truncate",
	opLock:     "lock",
	opCopy:     "copy",
	opRemove:   "remove",
	opClose:    "close",
}

func (o op) String() string { return opNames[o] }

// opTags hold what labels a goroutine and a region for each operation, made
// once: pprof.Do makes its labels anew, for 200 ns a task instead of 17.
var opTags = sync.OnceValue(func() *[ops]opTag {
	tags := new([ops]opTag)
	for o, name := range opNames {
		tags[o] = opTag{
			labels: pprof.WithLabels(context.Background(), pprof.Labels("fmmap", name)),
			region: "fmmap." + name,
		}
	}
	return tags
})

type opTag struct {
	labels context.Context
	region string
}
