package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// A load is clients that send requests to all nodes, and the history of that.
type load struct {
	addrs []string // of the nodes
	began time.Time
	calls atomic.Uint64
	acked atomic.Int64 // changes that were acknowledged
	wg    sync.WaitGroup
	stop  context.CancelFunc

	mu      sync.Mutex
	history []porcupine.Operation
	unknown int // changes of which it is not known whether they were made
}

// An input is a request for one key.
type input struct {
	kind       byte // one of those below
	key, value string
	was        string // of a swap
}

const (
	get  = 'g'
	put  = 'p'
	swap = 's' // put if the value is was
)

// An output is the response to it.
type output struct {
	found   bool // get: there is a value; swap: it was made
	value   string
	unknown bool // there was no response
}

// startLoad starts clients.
func startLoad(t *testing.T, c *cluster, clients int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{began: time.Now(), stop: cancel}
	for _, p := range c.nodes {
		l.addrs = append(l.addrs, p.http)
	}
	seed := testutil.Seed(t)
	for id := range clients {
		l.wg.Go(func() { l.client(ctx, id, rand.New(rand.NewPCG(seed, uint64(id)))) }) // ends with ctx
	}
	t.Cleanup(func() { cancel(); l.wg.Wait() })
	return l
}

// client sends one request after the other until ctx is done.
func (l *load) client(ctx context.Context, id int, rnd *rand.Rand) {
	c := &http.Client{Timeout: time.Second, Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	avoid, until := -1, 0        // a node that did not respond is left alone for some requests
	known := map[string]string{} // values seen, for swaps
	for n := 0; ctx.Err() == nil; n++ {
		// A key is used for some fifty requests, so that its history is short.
		call := l.calls.Add(1)
		in := input{key: fmt.Sprintf("key-%d", call/200*4+rnd.Uint64N(4)), value: fmt.Sprintf("%d-%d", id, n)}
		was, seen := known[in.key]
		switch k := rnd.IntN(10); {
		case k < 3:
			in.kind = get
		case k < 5 && seen:
			in.kind, in.was = swap, was
		case k < 8:
			in.kind = put
		default:
			in.kind, in.key = put, fmt.Sprintf("once-%d-%d", id, n) // stays until the end
		}
		node := rnd.IntN(len(l.addrs))
		if node == avoid && n < until {
			node = (node + 1) % len(l.addrs)
		}
		out, made := l.send(c, l.addrs[node], id, in)
		switch {
		case !made:
			avoid, until = node, n+20
		case made && in.kind == get && out.found:
			known[in.key] = out.value
		case made && in.kind == put:
			known[in.key] = in.value
		}
		if len(known) > 100 {
			clear(known)
		}
		if !made { // no leader, or the node is gone
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

// send sends a request, notes it in the history unless it had no effect, and
// reports whether it was acknowledged.
func (l *load) send(c *http.Client, addr string, client int, in input) (out output, made bool) {
	method, target := http.MethodPut, "http://"+addr+"/kv/"+in.key
	switch in.kind {
	case get:
		method = http.MethodGet
	case swap:
		target += "?was=" + url.QueryEscape(in.was)
	}
	began := time.Since(l.began)
	code, text, err := exchange(c, method, target, in.value)
	ended := time.Since(l.began)
	switch {
	case err == nil && code == http.StatusOK:
		out = output{found: true, value: text}
	case err == nil && code == http.StatusNoContent:
		out = output{found: true}
	case err == nil && (code == http.StatusNotFound && in.kind == get || code == http.StatusPreconditionFailed && in.kind == swap):
	case err == nil && code == http.StatusServiceUnavailable || notSent(err) || in.kind == get:
		return out, false
	default:
		out.unknown = true
		ended = math.MaxInt64 // at any time from now on, or never
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = append(l.history, porcupine.Operation{ClientId: client, Input: in, Call: int64(began), Output: out, Return: int64(ended)})
	if out.unknown {
		l.unknown++
	} else if in.kind != get {
		l.acked.Add(1)
	}
	return out, !out.unknown
}

// exchange sends a request and returns the response to it.
func exchange(c *http.Client, method, target, body string) (code int, text string, err error) {
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// notSent reports whether the last node that was asked cannot have the request:
// none was connected to, or it was passed on too often.
func notSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || err != nil && strings.Contains(err.Error(), "stopped after 10 redirects")
}

// progress waits until n more changes are acknowledged.
func (l *load) progress(t *testing.T, n int64) {
	t.Helper()
	want := l.acked.Load() + n
	testutil.WaitUntil(t, fmt.Sprintf("%d more changes are acknowledged", n), func() bool { return l.acked.Load() >= want })
}

// finish ends the clients, reads every key once more, and checks that there is an
// order of all requests that explains every response.
func (l *load) finish(t *testing.T, c *cluster) {
	t.Helper()
	l.stop()
	l.wg.Wait()
	began := int64(time.Since(l.began))
	code, text := c.request(c.waitForLeader(), "GET", "/kv", nil)
	ended := int64(time.Since(l.began))
	var values map[string][]byte
	if err := json.Unmarshal([]byte(text), &values); err != nil || code != http.StatusOK {
		t.Fatalf("reading all: %d %.100s, %v", code, text, err)
	}
	keys := map[string]bool{}
	for _, op := range l.history {
		keys[op.Input.(input).key] = true
	}
	for key := range keys {
		value, found := values[key]
		l.history = append(l.history, porcupine.Operation{
			Input: input{kind: get, key: key}, Call: began, Output: output{found: found, value: string(value)}, Return: ended,
		})
	}
	t.Logf("%d requests for %d keys, %d changes acknowledged, %d of unknown outcome", len(l.history), len(keys), l.acked.Load(), l.unknown)
	for key := range values {
		if !keys[key] {
			t.Errorf("%s has a value, and was never set", key)
		}
	}
	if bad, undecided := unexplained(l.history); len(bad)+len(undecided) > 0 {
		t.Errorf("no order of the requests explains the responses for %q; not decided in time: %q", bad, undecided)
	}
}

// unexplained returns the keys whose history is not that of a register.
func unexplained(history []porcupine.Operation) (bad, undecided []string) {
	for _, part := range registers.Partition(history) {
		key := part[0].Input.(input).key
		switch porcupine.CheckOperationsTimeout(registers, part, time.Minute) {
		case porcupine.Illegal:
			bad = append(bad, key)
		case porcupine.Unknown:
			undecided = append(undecided, key)
		}
	}
	return bad, undecided
}

// registers is what the server promises: each key is one register.
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byKey := map[string]int{}
		for _, op := range history {
			key := op.Input.(input).key
			i, ok := byKey[key]
			if !ok {
				i = len(parts)
				byKey[key], parts = i, append(parts, nil)
			}
			parts[i] = append(parts[i], op)
		}
		return parts
	},
	Init: func() any { return output{} }, // what a get returns
	Step: func(state, in, out any) (bool, any) {
		is, i, o := state.(output), in.(input), out.(output)
		switch i.kind {
		case get:
			return o == is, is
		case swap:
			matches := is.found && is.value == i.was
			if matches {
				is.value = i.value
			}
			return o.unknown || o.found == matches, is
		default:
			return true, output{found: true, value: i.value}
		}
	},
}

// The check of histories finds what it is for.
func TestHistoriesThatNothingExplains(t *testing.T) {
	op := func(call, ret int64, in input, out output) porcupine.Operation {
		in.key = "k"
		return porcupine.Operation{Input: in, Call: call, Output: out, Return: ret}
	}
	a, b := input{kind: put, value: "a"}, input{kind: put, value: "b"}
	ok, never := output{found: true}, output{unknown: true}
	sees := func(v string) output { return output{found: v != "", value: v} }
	swapped := func(was string) input { return input{kind: swap, was: was, value: "c"} }
	for _, tt := range []struct {
		name    string
		fine    bool
		history []porcupine.Operation
	}{
		{"in order", true, []porcupine.Operation{op(1, 2, a, ok), op(3, 4, input{kind: get}, sees("a")), op(5, 6, b, ok), op(7, 8, input{kind: get}, sees("b"))}},
		{"a lost change", false, []porcupine.Operation{op(1, 2, a, ok), op(3, 4, input{kind: get}, sees(""))}},
		{"a stale read", false, []porcupine.Operation{op(1, 2, a, ok), op(3, 4, b, ok), op(5, 6, input{kind: get}, sees("a"))}},
		{"of unknown outcome, made late", true, []porcupine.Operation{op(1, math.MaxInt64, a, never), op(2, 3, input{kind: get}, sees("")), op(4, 5, input{kind: get}, sees("a"))}},
		{"undone", false, []porcupine.Operation{op(1, math.MaxInt64, a, never), op(2, 3, input{kind: get}, sees("a")), op(4, 5, input{kind: get}, sees(""))}},
		{"two swaps of one value", false, []porcupine.Operation{op(1, 2, a, ok), op(3, 6, swapped("a"), ok), op(3, 6, swapped("a"), ok)}},
		{"one of two swaps", true, []porcupine.Operation{op(1, 2, a, ok), op(3, 6, swapped("a"), ok), op(3, 6, swapped("a"), output{})}},
	} {
		if bad, undecided := unexplained(tt.history); (len(bad) == 0) != tt.fine || len(undecided) > 0 {
			t.Errorf("%s: %q, %q", tt.name, bad, undecided)
		}
	}
}
