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

// post stores each event in a page of its own and responds when it is durable.
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

// A server calls methods that return futures and responds when they have
// resolved. A request whose context ends stops its own wait and no other.
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
			response := httptest.NewRecorder()
			handler(response, httptest.NewRequest("POST", "/events", strings.NewReader("an event")))
			codes[i] = response.Code
		})
	}
	clients.Wait()
	fmt.Println(codes)
	// Output: [201 201 201 201 201 201 201 201]
}
