package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/wal"
)

var (
	errEmpty    = errors.New("empty record")
	errTooLarge = errors.New("record too large")
	errNoRoom   = errors.New("no room for the record")
)

// event is the outcome of POST.
type event struct {
	Seq uint64 `json:"seq"`
}

// handler serves one log.
type handler struct {
	log  *wal.Log
	pool *async.Pool
	max  int64
	errs *slog.Logger // of what clients are not told
}

func newHandler(l *wal.Log, p *async.Pool, max int64, errs *slog.Logger) (http.Handler, error) {
	scraped, err := newMetrics(l, p)
	if err != nil {
		return nil, err
	}
	h := &handler{l, p, max, errs}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /events", h.post)
	mux.HandleFunc("GET /events/{seq}", h.get)
	mux.HandleFunc("GET /events", h.list)
	mux.HandleFunc("GET /stats", h.stats)
	mux.Handle("GET /metrics", scraped)
	return mux, nil
}

func (h *handler) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.max))
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	if len(body) == 0 {
		h.refuse(w, r, errEmpty)
		return
	}
	t := h.log.Append(body)
	seq, err := t.Await(r.Context()) // with all requests that wait: one msync
	if err != nil {
		if t.First() == 0 { // not stored: as a rule no segment could be made
			err = fmt.Errorf("%w: %w", errNoRoom, err)
		}
		h.refuse(w, r, err)
		return
	}
	w.Header().Set("Location", fmt.Sprintf("/events/%d", seq))
	respond(w, http.StatusCreated, event{seq})
}

func (h *handler) get(w http.ResponseWriter, r *http.Request) {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil {
		http.Error(w, "a sequence number is a decimal number from 1 on", http.StatusBadRequest)
		return
	}
	rec, err := h.log.Load(r.Context(), seq).Await(r.Context()) // waits for the disk without holding a processor
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	defer rec.Release()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(rec.Len(), 10))
	if err := send(w, rec); err != nil {
		h.abort(r, err)
	}
}

// abort ends a response whose header has been sent: the connection is closed,
// so that the client notices that the rest is missing.
func (h *handler) abort(r *http.Request, err error) {
	if errors.Is(err, core.ErrFault) { // and not that the client has gone
		h.errs.ErrorContext(r.Context(), "aborted", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	panic(http.ErrAbortHandler)
}

// send writes a record to the client from the map. The pin is held for as long
// as the client takes to read it: the log grows meanwhile, and only closing
// waits. The error is a [core.FaultError] if the file has lost the bytes.
func send(w io.Writer, rec *core.Pin) error {
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
	for seq := from; seq <= h.log.Last() && limit > 0; seq++ {
		if err := h.sendLine(r.Context(), w, seq); err != nil {
			h.abort(r, err)
		}
		limit--
	}
}

// sendLine writes a record with its length before it and a newline behind it.
// (wal.Log.Range would read ahead, but its loop has no guard against a file that
// another process cuts short.)
func (h *handler) sendLine(ctx context.Context, w io.Writer, seq uint64) error {
	rec, err := h.log.Load(ctx, seq).Await(ctx)
	if err != nil {
		return err
	}
	defer rec.Release()
	if _, err := fmt.Fprintf(w, "%d\n", rec.Len()); err != nil {
		return err
	}
	if err := send(w, rec); err != nil {
		return err
	}
	_, err = io.WriteString(w, "\n")
	return err
}

// number returns the query parameter with the given name.
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
	respond(w, http.StatusOK, map[string]any{
		"events": h.log.Last(),
		"log":    h.log.Stats(),
		"pool":   h.pool.Stats(),
	})
}

func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // fails only when the client has gone
}

// refusals are the errors that a client may see, and their status. The text is
// that of the error here: the one that was returned names files of the server.
var refusals = []struct {
	err    error
	status int
	logged bool // in full, by the server
}{
	{errTooLarge, http.StatusRequestEntityTooLarge, false},
	{errEmpty, http.StatusBadRequest, false},
	{io.ErrUnexpectedEOF, http.StatusBadRequest, false},
	{wal.ErrNotFound, http.StatusNotFound, false},
	{async.ErrOverloaded, http.StatusServiceUnavailable, false},
	{core.ErrFlushFailed, http.StatusServiceUnavailable, true},
	{fs.ErrClosed, http.StatusServiceUnavailable, false},
	{context.Canceled, http.StatusServiceUnavailable, false},
	{core.ErrFault, http.StatusInternalServerError, true},
	{wal.ErrCorrupt, http.StatusInternalServerError, true},
	{errNoRoom, http.StatusInsufficientStorage, true}, // for no other reason
}

// refuse responds with the status that belongs to err.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, text, logged := http.StatusInternalServerError, "internal error", true
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		err = fmt.Errorf("%w: at most %d bytes", errTooLarge, tooLarge.Limit)
	}
	for _, known := range refusals {
		if errors.Is(err, known.err) {
			status, text, logged = known.status, known.err.Error(), known.logged
			break
		}
	}
	if status < 500 {
		text = err.Error() // of the client's own making, and with the numbers
	}
	if logged {
		h.errs.ErrorContext(r.Context(), "refused", "method", r.Method, "path", r.URL.Path, "status", status, "err", err)
	}
	http.Error(w, text, status)
}
