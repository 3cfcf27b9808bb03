package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newCluster(t, "1s", dir, dir, dir)
	for _, tt := range []struct {
		method, path, body string
		code               int
		text               string // that the response begins with
	}{
		{"GET", "/kv/k", "", 404, "no such key"},
		{"PUT", "/kv/k", "v1", 204, ""},
		{"GET", "/kv/k", "", 200, "v1"},
		{"PUT", "/kv/k?was=v2", "v3", 412, "the key has another value"},
		{"PUT", "/kv/k?was=v1", "v2", 204, ""},
		{"GET", "/kv/k", "", 200, "v2"},
		{"PUT", "/kv/absent?was=", "v", 412, ""},
		{"PUT", "/kv/a/b%00%20", "\x00\xff", 204, ""},
		{"GET", "/kv/a/b%00%20", "", 200, "\x00\xff"},
		{"PUT", "/kv/%ff", "", 400, "the key is not UTF-8"},
		{"PUT", "/kv/empty", "", 204, ""},
		{"PUT", "/kv/empty?was=", "full", 204, ""},
		{"DELETE", "/kv/empty", "", 204, ""},
		{"DELETE", "/kv/empty", "", 204, ""},
		{"GET", "/kv", "", 200, `{"a/b\u0000 ":"AP8=","k":"djI="}`},
		{"PUT", "/kv/long", strings.Repeat("x", maxValue+1), 413, ""},
		{"PUT", "/kv/long", strings.Repeat("x", maxValue), 204, ""},
		{"DELETE", "/kv/long", "", 204, ""},
		{"POST", "/join?id=d", "", 400, "id, raft or http is missing"},
		{"POST", "/snapshot", "", 204, ""},
		{"GET", "/", "", 200, "<!DOCTYPE html>"},
		{"GET", "/nothing", "", 404, ""},
	} {
		for i, p := range c.nodes { // each one passes on what is the leader's
			if i > 0 && tt.method == "PUT" && strings.Contains(tt.path, "?was=") {
				continue // done already
			}
			if code, text := c.request(p, tt.method, tt.path, []byte(tt.body)); code != tt.code || !strings.HasPrefix(text, tt.text) {
				t.Errorf("%s %s of node %s: %d %.200q, want %d %q", tt.method, tt.path, p.id, code, text, tt.code, tt.text)
			}
		}
	}
	c.waitForMembers()
	for _, p := range c.nodes {
		_, page := c.request(p, "GET", "/", nil)
		for _, m := range c.nodes {
			if !strings.Contains(page, fmt.Sprintf(`<a href="http://%s/">%s</a>`, m.http, m.id)) {
				t.Errorf("the page of %s does not show %s:\n%s", p.id, m.id, page)
			}
		}
		if strings.Contains(page, "does not respond") || strings.Count(page, "Follower") < 2 {
			t.Errorf("the page of %s:\n%s", p.id, page)
		}
	}
	c.agree()
}

// The leader leaves, and comes back as a new member. A node that restarts with
// what it has needs no -join.
func TestLeaveAndJoin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newCluster(t, "1s", dir, dir, dir)
	for i := range 500 { // several snapshots
		if code, text := c.request(c.nodes[i%3], "PUT", fmt.Sprint("/kv/", i%50), fmt.Append(nil, i)); code != http.StatusNoContent {
			t.Fatalf("%d %s", code, text)
		}
	}
	p := c.waitForLeader()
	testutil.WaitUntil(t, "there is a snapshot", func() bool { s, ok := p.status(); return ok && s.Snapshot > 0 })
	if code, text := c.request(p, "POST", "/leave", nil); code != http.StatusNoContent {
		t.Fatalf("leaving: %d %s", code, text)
	}
	c.stop(p)
	testutil.WaitUntil(t, "two members are left", func() bool {
		leads := c.leader(p)
		if leads == nil {
			return false
		}
		s, ok := leads.status()
		return ok && len(s.Members) == 2
	})
	c.start(p, c.others(p))
	c.waitForMembers()
	for _, p := range c.nodes {
		c.stop(p)
	}
	for _, p := range c.nodes {
		c.start(p, "")
	}
	c.waitForMembers()
	if code, text := c.request(c.nodes[0], "GET", "/kv/49", nil); code != http.StatusOK || text != "499" {
		t.Errorf("after a restart of all: %d %s", code, text)
	}
	if s, ok := p.status(); !ok || s.First < 2 {
		t.Errorf("behind a snapshot, the log of the node that joined begins at %d", s.First)
	}
	c.agree()
}

func TestArguments(t *testing.T) {
	for _, args := range []string{
		"", "-id a", "-dir d", "-id a -dir d more", "-id a -dir d -heartbeat 1ms", "-id a -dir d -snapshot 0", "-what",
		"three more", "three -port 0", "three -port 65531", "convert", "convert a", "convert a b c",
	} {
		err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard)
		if _, ok := errors.AsType[*cli.UsageError](err); !ok {
			t.Errorf("%q: %v", args, err)
		}
	}
}
