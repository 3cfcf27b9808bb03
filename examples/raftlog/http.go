package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/hashicorp/raft"
)

// maxValue is the length of the longest value, in bytes.
const maxValue = 1 << 20

// handler serves the requests that a node gets.
type handler struct {
	*node
	log *log.Logger
}

func newHandler(n *node, logger *log.Logger) http.Handler {
	h := &handler{n, logger}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /kv", h.list)
	mux.HandleFunc("GET /kv/{key...}", h.get)
	mux.HandleFunc("PUT /kv/{key...}", h.put)
	mux.HandleFunc("DELETE /kv/{key...}", h.delete)
	mux.HandleFunc("POST /join", h.join)
	mux.HandleFunc("POST /leave", h.leave)
	mux.HandleFunc("POST /snapshot", h.snapshot)
	mux.HandleFunc("GET /status", h.status)
	mux.HandleFunc("GET /{$}", h.page)
	return mux
}

// current reports whether what this node has is not older than the request; if
// not, it has responded. The barrier is an entry of the log: when it is applied,
// so is all that was acknowledged before the request came. With ?stale in the
// request there is none.
func (h *handler) current(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Query().Has("stale") {
		return true
	}
	err := h.raft.Barrier(patience).Error()
	if err != nil {
		h.refuse(w, r, err)
	}
	return err == nil
}

// list returns all keys with their values, as JSON.
func (h *handler) list(w http.ResponseWriter, r *http.Request) {
	if h.current(w, r) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(h.machine.values()) // fails only when the client has gone
	}
}

func (h *handler) get(w http.ResponseWriter, r *http.Request) {
	if !h.current(w, r) {
		return
	}
	value, ok := h.machine.value(r.PathValue("key"))
	if !ok {
		http.Error(w, "no such key", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(value) // fails only when the client has gone
}

func (h *handler) put(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxValue))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	c := command{Op: opPut, Key: r.PathValue("key"), Value: b}
	if q := r.URL.Query(); q.Has("was") {
		c.Was = []byte(q.Get("was"))
	}
	h.commit(w, r, c)
}

func (h *handler) delete(w http.ResponseWriter, r *http.Request) {
	h.commit(w, r, command{Op: opDelete, Key: r.PathValue("key")})
}

// commit responds when a majority has the command in its log, durably, and this
// node has applied it.
func (h *handler) commit(w http.ResponseWriter, r *http.Request, c command) {
	if !utf8.ValidString(c.Key) { // JSON could not hold it
		http.Error(w, "the key is not UTF-8", http.StatusBadRequest)
		return
	}
	o, err := h.apply(c)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	w.Header().Set("Raft-Index", strconv.FormatUint(o.index, 10))
	if !o.done {
		http.Error(w, "the key has another value", http.StatusPreconditionFailed)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *handler) join(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	id, addr, httpAddr := q.Get("id"), q.Get("raft"), q.Get("http")
	if id == "" || addr == "" || httpAddr == "" {
		http.Error(w, "id, raft or http is missing", http.StatusBadRequest)
		return
	}
	h.respond(w, r, h.add(id, addr, httpAddr))
}

// leave ends the membership of the node in ?id=, or of this node.
func (h *handler) leave(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if !q.Has("id") { // for the leader, to which the request may be passed on
		q.Set("id", h.id)
		r.URL.RawQuery = q.Encode()
	}
	h.respond(w, r, h.remove(q.Get("id")))
}

func (h *handler) snapshot(w http.ResponseWriter, r *http.Request) {
	err := h.raft.Snapshot().Error()
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		err = nil
	}
	h.respond(w, r, err)
}

func (h *handler) respond(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// refuse passes a request on to the leader, if this node is not the leader and
// knows it, or responds with the status that belongs to err. After 503 nothing
// was done; after 500 it is not known what was.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		if addr := h.leader(); addr != "" && addr != h.http {
			http.Redirect(w, r, "http://"+addr+r.URL.RequestURI(), http.StatusTemporaryRedirect)
			return
		}
		fallthrough
	case errors.Is(err, raft.ErrEnqueueTimeout):
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		h.log.Printf("%s %s: %v", r.Method, r.URL.Path, err)
		http.Error(w, fmt.Sprintf("it may have been done, or not: %v", err), http.StatusInternalServerError)
	}
}

func (h *handler) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(h.node.status()) // fails only when the client has gone
}
