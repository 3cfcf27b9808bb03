package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/examples/reclog"
)

// handler serves one log.
type handler struct {
	log  *reclog.Log
	pool *async.Pool
	max  int64
}

func newHandler(l *reclog.Log, p *async.Pool, max int64) http.Handler {
	h := &handler{l, p, max}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /events", h.post)
	mux.HandleFunc("GET /events/{seq}", h.get)
	mux.HandleFunc("GET /events", h.list)
	mux.HandleFunc("GET /stats", h.stats)
	return mux
}

func (h *handler) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.max))
	if err != nil {
		refuse(w, err)
		return
	}
	e, err := h.log.Append(r.Context(), body)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Location", fmt.Sprintf("/events/%d", e.Seq))
	answer(w, http.StatusCreated, e)
}

func (h *handler) get(w http.ResponseWriter, r *http.Request) {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil {
		http.Error(w, "a sequence number is a decimal number from 1 on", http.StatusBadRequest)
		return
	}
	rec, err := h.log.Read(r.Context(), seq) // waits for the disk, and holds nobody up meanwhile
	if err != nil {
		refuse(w, err)
		return
	}
	defer rec.Release()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(rec.Bytes())))
	if err := send(w, rec); err != nil {
		panic(http.ErrAbortHandler) // the header is out: all that can be done is to break off
	}
}

// send writes a record to the client from the map. A client that reads slowly holds the
// pin that long: the log grows beside it, and only closing waits.
func send(w io.Writer, rec *reclog.Record) error {
	return rec.Do(func(b []byte) error { _, err := w.Write(b); return err })
}

func (h *handler) list(w http.ResponseWriter, r *http.Request) {
	from, err := number(r, "from", 1)
	if err == nil && from == 0 {
		err = errors.New("from: sequence numbers begin at 1")
	}
	limit, lerr := number(r, "limit", 1<<62)
	if err = errors.Join(err, lerr); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if limit == 0 {
		return
	}
	for rec, err := range h.log.All(r.Context(), from) {
		if err == nil {
			_, err = fmt.Fprintf(w, "%d\n", len(rec.Bytes()))
		}
		if err == nil {
			err = send(w, rec)
		}
		if err == nil {
			_, err = io.WriteString(w, "\n")
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if limit--; limit == 0 {
			return
		}
	}
}

// number is a query parameter.
func number(r *http.Request, name string, otherwise uint64) (uint64, error) {
	v := r.URL.Query().Get(name)
	if v == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is not a decimal number", name, v)
	}
	return n, nil
}

func (h *handler) stats(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"events": h.log.Last(),
		"bytes":  h.log.File().Core().Len(),
		"file":   h.log.File().Stats(),
		"pool":   h.pool.Stats(),
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone, or has it all
}

// refuse says what was wrong, and whose fault it is.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge), errors.Is(err, reclog.ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, reclog.ErrEmpty), errors.Is(err, io.ErrUnexpectedEOF):
		status = http.StatusBadRequest
	case errors.Is(err, reclog.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, async.ErrOverloaded), errors.Is(err, fs.ErrClosed), errors.Is(err, core.ErrFlushFailed), errors.Is(err, context.Canceled):
		status = http.StatusServiceUnavailable
	}
	text := err.Error()
	if tooLarge != nil {
		text = fmt.Sprintf("%v: at most %d bytes", reclog.ErrTooLarge, tooLarge.Limit)
	}
	http.Error(w, text, status)
}
