module github.com/fmmap-go/fmmap/docs/programs

go 1.26.0

require (
	github.com/alitto/pond/v2 v2.7.1
	github.com/fmmap-go/fmmap v0.0.0
	github.com/sourcegraph/conc v0.3.0
	golang.org/x/sync v0.24.0
)

require (
	go.etcd.io/bbolt v1.5.0
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/fmmap-go/fmmap => ../..
