package fmmapprom_test

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

	"github.com/fmmap-go/fmmap/async"
	fmmapprom "github.com/fmmap-go/fmmap/contrib/prometheus"
	"github.com/fmmap-go/fmmap/wal"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A server with a log serves its metrics.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "metrics")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	events, err := wal.Open(ctx, filepath.Join(dir, "events"), wal.Options{Pool: pool})
	if err != nil {
		log.Fatal(err)
	}
	defer events.Close()

	metrics := fmmapprom.New()
	if err := metrics.AddPool("main", pool); err != nil {
		log.Fatal(err)
	}
	if err := metrics.AddLog("events", events); err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	if _, err := events.Write(ctx, []byte("an event")); err != nil {
		log.Fatal(err)
	}

	scrape := httptest.NewRecorder() // in place of http.ListenAndServe, and Prometheus
	http.DefaultServeMux.ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	text, _ := io.ReadAll(scrape.Body)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "fmmap_wal_records_total") || strings.HasPrefix(line, "fmmap_wal_wait_seconds_count") {
			fmt.Print(line)
		}
	}
	// Output:
	// fmmap_wal_records_total{log="events"} 1
	// fmmap_wal_wait_seconds_count{log="events"} 1
}

// What is closed while the program goes on is removed.
func ExampleCollector() {
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		log.Fatal(err)
	}
	metrics := fmmapprom.New()
	fmt.Println(metrics.AddPool("import", pool))
	_ = pool.Close()
	fmt.Println(metrics.Remove("import"))
	// Output:
	// <nil>
	// true
}
