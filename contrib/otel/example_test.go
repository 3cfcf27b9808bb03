package fmmapotel_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	fmmapotel "github.com/fmmap-go/fmmap/contrib/otel"
	"github.com/fmmap-go/fmmap/wal"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// A server has its log observed. In place of the ManualReader it has one that
// exports.
func ExampleMetrics() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "metrics")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	events, err := wal.Open(ctx, filepath.Join(dir, "events"), wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer events.Close()

	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	defer provider.Shutdown(ctx)
	metrics, err := fmmapotel.New(provider.Meter("myserver"))
	if err != nil {
		log.Fatal(err)
	}
	defer metrics.Close()
	if err := metrics.AddLog("events", events); err != nil {
		log.Fatal(err)
	}

	if _, err := events.Write(ctx, []byte("an event")); err != nil {
		log.Fatal(err)
	}
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &collected); err != nil {
		log.Fatal(err)
	}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "fmmap.wal.records" {
			fmt.Println(m.Name, sum.DataPoints[0].Value)
		}
	}
	// Output: fmmap.wal.records 1
}
