package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fmmap-go/fmmap/examples/raftlog/store"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/wal"
)

// A cluster is three nodes, each a process. Its methods are for the goroutine of
// the test.
type cluster struct {
	t     *testing.T
	nodes []*peer
}

// A peer is a node of the cluster.
type peer struct {
	id, dir, raft, http string
	more                []string // flags
	process             *testutil.Process
}

// newCluster starts a cluster, for a test that runs beside others. The directory
// of node i is in dirs[i].
func newCluster(t *testing.T, heartbeat string, dirs ...string) *cluster {
	t.Helper()
	testutil.RequireProcesses(t)
	c := &cluster{t: t}
	addrs := freeAddresses(t, 2*len(dirs))
	for i, dir := range dirs {
		id := string(rune('a' + i))
		c.nodes = append(c.nodes, &peer{
			id: id, dir: filepath.Join(dir, id), raft: addrs[2*i], http: addrs[2*i+1],
			// Snapshots and segments are small, so that a run has many of them.
			more: []string{"-heartbeat", heartbeat, "-snapshot", "200", "-keep", "50", "-segment", "65536"},
		})
	}
	c.start(c.nodes[0], "")
	c.waitForLeader()
	for _, p := range c.nodes[1:] {
		c.start(p, c.nodes[0].http)
	}
	c.waitForMembers()
	return c
}

// freeAddresses returns addresses of this machine that were free a moment ago.
func freeAddresses(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // only after all of them are known
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

// tryStart starts a node, which joins those at the HTTP addresses in join, and
// returns what it says first.
func (c *cluster) tryStart(p *peer, join string) (says string) {
	c.t.Helper()
	args := append([]string{"-id", p.id, "-dir", p.dir, "-raft", p.raft, "-http", p.http}, p.more...)
	if join != "" {
		args = append(args, "-join", join)
	}
	p.process = testutil.Reexec(c.t, "node", argsEnv+"="+strings.Join(args, "\n"))
	return p.process.Hear()
}

func (c *cluster) start(p *peer, join string) {
	c.t.Helper()
	if says := c.tryStart(p, join); says != "serving" {
		c.t.Fatalf("node %s: %s", p.id, says)
	}
}

// others returns the HTTP addresses of the other nodes, as -join takes them.
func (c *cluster) others(p *peer) string {
	var addrs []string
	for _, o := range c.nodes {
		if o != p {
			addrs = append(addrs, o.http)
		}
	}
	return strings.Join(addrs, ",")
}

// stop ends a node in good order.
func (c *cluster) stop(p *peer) {
	c.t.Helper()
	if _, err := p.process.Wait(); err != nil {
		c.t.Fatalf("node %s: %v", p.id, err)
	}
}

// signal sends a node the signal STOP or CONT.
func (c *cluster) signal(p *peer, name string) {
	c.t.Helper()
	sh := testutil.RequireTool(c.t, "sh")
	if b, err := exec.Command(sh, "-c", "kill -"+name+" "+strconv.Itoa(p.process.Pid())).CombinedOutput(); err != nil {
		c.t.Fatalf("%v: %s", err, b)
	}
}

var asking = &http.Client{Timeout: 2 * time.Second}

// status returns what a node says of itself, and reports whether it does.
func (p *peer) status() (s status, ok bool) {
	resp, err := asking.Get("http://" + p.http + "/status")
	if err != nil {
		return s, false
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s) == nil
}

// leader returns the leader of the latest term, nil if there is none now. Nodes
// in without are left out.
func (c *cluster) leader(without ...*peer) (leads *peer) {
	term := uint64(0)
	for _, p := range c.nodes {
		if slices.Contains(without, p) {
			continue
		}
		if s, ok := p.status(); ok && s.State == raft.Leader.String() && s.Term > term {
			leads, term = p, s.Term
		}
	}
	return leads
}

func (c *cluster) waitForLeader(without ...*peer) (leads *peer) {
	c.t.Helper()
	testutil.WaitUntil(c.t, "there is a leader", func() bool {
		leads = c.leader(without...)
		return leads != nil
	})
	return leads
}

// waitForMembers waits until all nodes are members and have applied what is
// committed.
func (c *cluster) waitForMembers() {
	c.t.Helper()
	testutil.WaitUntil(c.t, "all nodes are members and have applied the same", func() bool {
		leads := c.leader()
		if leads == nil {
			return false
		}
		want, ok := leads.status()
		if !ok || len(want.Members) != len(c.nodes) {
			return false
		}
		for _, p := range c.nodes {
			if s, ok := p.status(); !ok || s.Leader != leads.id || s.Applied < want.Commit || s.Commit < want.Commit {
				return false
			}
		}
		return true
	})
}

// follower returns a node that does not lead.
func (c *cluster) follower() *peer {
	c.t.Helper()
	leads := c.waitForLeader()
	i := slices.Index(c.nodes, leads)
	return c.nodes[(i+1)%len(c.nodes)]
}

// request sends a request to a node, again while there is no leader;
// redirections are followed.
func (c *cluster) request(p *peer, method, path string, body []byte) (code int, text string) {
	c.t.Helper()
	testutil.WaitUntil(c.t, "there is a leader", func() bool {
		code, text = c.requestOnce(p, method, path, body)
		return code != http.StatusServiceUnavailable
	})
	return code, text
}

func (c *cluster) requestOnce(p *peer, method, path string, body []byte) (code int, text string) {
	c.t.Helper()
	req, err := http.NewRequest(method, "http://"+p.http+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// agree stops all nodes and checks that they hold the same entries and values.
func (c *cluster) agree() {
	c.t.Helper()
	c.waitForMembers()
	var values []string
	for _, p := range c.nodes {
		code, text := c.request(p, "GET", "/kv?stale", nil)
		if code != http.StatusOK {
			c.t.Fatalf("node %s: %d %s", p.id, code, text)
		}
		if values = append(values, text); text != values[0] {
			c.t.Errorf("nodes %s and %s have other values", c.nodes[0].id, p.id)
		}
	}
	least := ^uint64(0) // committed everywhere
	for _, p := range c.nodes {
		s, ok := p.status()
		if !ok {
			c.t.Fatalf("node %s does not respond", p.id)
		}
		least = min(least, s.Commit)
	}
	compared := 0
	type entry struct{ node, text string }
	seen := map[uint64]entry{}
	for _, p := range c.nodes {
		c.stop(p)
		for e := range p.entries(c.t) {
			if e.Index > least {
				continue
			}
			text := fmt.Sprintf("term %d, %v, %q", e.Term, e.Type, e.Data)
			if other, ok := seen[e.Index]; !ok {
				seen[e.Index] = entry{p.id, text}
			} else if compared++; other.text != text {
				c.t.Errorf("entry %d is %s on node %s, %s on node %s", e.Index, other.text, other.node, text, p.id)
			}
		}
	}
	if compared == 0 {
		c.t.Error("no entry is on two nodes")
	}
	c.t.Logf("%d entries compared, %d bytes of values", compared, len(values[0]))
}

// entries returns the entries of a node that does not run.
func (p *peer) entries(t *testing.T) func(yield func(raft.Log) bool) {
	return func(yield func(raft.Log) bool) {
		s, err := store.Open(t.Context(), logDir(p.dir), wal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		first, _ := s.FirstIndex()
		last, _ := s.LastIndex()
		for i := max(first, 1); i <= last; i++ {
			var e raft.Log
			if err := s.GetLog(i, &e); err != nil {
				t.Fatal(err)
			}
			if !yield(e) {
				return
			}
		}
	}
}

// damage changes one byte of the last command in the log of a node that does not
// run.
func (p *peer) damage(t *testing.T) {
	t.Helper()
	var data []byte
	for e := range p.entries(t) {
		if e.Type == raft.LogCommand {
			data = e.Data
		}
	}
	files, err := filepath.Glob(filepath.Join(logDir(p.dir), "segment-*"))
	if err != nil || len(data) == 0 {
		t.Fatal("nothing to damage", err)
	}
	damaged := 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(b, data); i >= 0 {
			b[i+len(data)/2] ^= 4
			damaged++
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if damaged == 0 {
		t.Fatalf("%s is in none of %d files", data, len(files))
	}
}
