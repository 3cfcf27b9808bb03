module github.com/fmmap-go/fmmap/internal/bench

go 1.26.0

require (
	github.com/dgraph-io/ristretto/v2 v2.4.2
	github.com/edsrzf/mmap-go v1.2.0
	github.com/fmmap-go/fmmap v0.0.0
	github.com/gofrs/flock v0.13.2
	github.com/panjf2000/ants/v2 v2.12.1
	github.com/tidwall/wal v1.2.1
	go.etcd.io/bbolt v1.5.0
	golang.org/x/exp v0.0.0-20261014143641-f0251eb4aa3e
	golang.org/x/sync v0.24.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/hanwen/go-fuse/v2 v2.12.1 // indirect
	go.uber.org/goleak v1.3.0 // indirect
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/fmmap-go/fmmap/internal/torture v0.0.0
	github.com/tidwall/gjson v1.10.2 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.2.0 // indirect
	github.com/tidwall/tinylru v1.1.0 // indirect
)

replace github.com/fmmap-go/fmmap => ../..

replace github.com/fmmap-go/fmmap/internal/torture => ../torture
