module github.com/fmmap-go/fmmap/internal/torture

go 1.26.0

require (
	github.com/fmmap-go/fmmap v0.0.0
	github.com/hanwen/go-fuse/v2 v2.12.1
	go.uber.org/goleak v1.3.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/stretchr/testify v1.10.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
)

replace github.com/fmmap-go/fmmap => ../..
