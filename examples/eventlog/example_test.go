package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// post stores each event in a page of its own and answers when it is on the disk.
func post(f *async.File, pages *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		off := (pages.Add(1) - 1) * 4096
		event, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4096))
		if err == nil {
			_, err = f.WriteAt(r.Context(), event, off).Await(r.Context())
		}
		if err == nil { // all requests that wait here share one msync
			_, err = f.FlushRange(off, 4096).Await(r.Context())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}
}

// A server calls what returns futures, and answers when they have resolved. A request
// that is given up ends its wait, and nobody else's.
func Example_server() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "events")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	f, err := async.Open(ctx, nil, filepath.Join(dir, "file"), core.Options{Access: core.ReadWrite, Create: true, Size: 64 << 10}).Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	handler := post(f, new(atomic.Int64))

	var clients sync.WaitGroup
	codes := make([]int, 8)
	for i := range codes {
		clients.Go(func() {
			answer := httptest.NewRecorder()
			handler(answer, httptest.NewRequest("POST", "/events", strings.NewReader("an event")))
			codes[i] = answer.Code
		})
	}
	clients.Wait()
	fmt.Println(codes)
	// Output: [201 201 201 201 201 201 201 201]
}
