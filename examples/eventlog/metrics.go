package main

import (
	"net/http"

	"github.com/fmmap-go/fmmap/async"
	fmmapprom "github.com/fmmap-go/fmmap/contrib/prometheus"
	"github.com/fmmap-go/fmmap/wal"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newMetrics returns a handler of scrapes: of the log, the pool and the Go runtime.
func newMetrics(l *wal.Log, p *async.Pool) (http.Handler, error) {
	m := fmmapprom.New()
	if err := m.AddLog("events", l); err != nil {
		return nil, err
	}
	if err := m.AddPool("main", p); err != nil {
		return nil, err
	}
	r := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{m, collectors.NewGoCollector()} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{}), nil
}
