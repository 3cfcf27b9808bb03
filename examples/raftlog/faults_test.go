package main

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

var clusterFor = flag.Duration("cluster.for", 0, "how long the cluster's nodes are killed, paused and damaged; each at least once")

// faults are what happens to the nodes of a cluster that is in use. Afterwards
// all nodes run.
var faults = []struct {
	name string
	do   func(t *testing.T, c *cluster, l *load)
}{
	{"the leader is killed", func(t *testing.T, c *cluster, l *load) {
		p := c.waitForLeader()
		p.process.Kill()
		l.progress(t, 50)
		c.start(p, c.others(p))
	}},
	{"all are killed", func(t *testing.T, c *cluster, l *load) {
		for _, p := range c.nodes {
			p.process.Kill()
		}
		for _, p := range c.nodes {
			c.start(p, c.others(p))
		}
		l.progress(t, 50)
	}},
	{"a follower is paused", func(t *testing.T, c *cluster, l *load) {
		p := c.follower()
		c.signal(p, "STOP")
		l.progress(t, 100)
		c.signal(p, "CONT")
	}},
	{"the leader is paused, and believes afterwards that it leads", func(t *testing.T, c *cluster, l *load) {
		p := c.waitForLeader()
		c.signal(p, "STOP")
		c.waitForLeader(p)
		l.progress(t, 50)
		c.signal(p, "CONT")
	}},
	{"a follower is killed and lags behind a snapshot", func(t *testing.T, c *cluster, l *load) {
		p := c.follower()
		p.process.Kill()
		l.progress(t, 100)
		c.request(c.waitForLeader(p), "POST", "/snapshot", nil)
		l.progress(t, 50)
		c.start(p, c.others(p))
	}},
	{"a follower's log is damaged", func(t *testing.T, c *cluster, l *load) {
		p := c.follower()
		p.process.Kill()
		p.damage(t)
		says := c.tryStart(p, c.others(p))
		for _, want := range []string{"refused: the log is damaged", "segment-", "offset", p.dir} {
			if !strings.Contains(says, want) {
				t.Errorf("a node with a damaged log says %q, not %q", says, want)
			}
		}
		// As the error says. What it had voted for is gone too, so it comes back as
		// a new member.
		if err := os.RemoveAll(p.dir); err != nil {
			t.Fatal(err)
		}
		testutil.WaitUntil(t, "the damaged node is no member", func() bool {
			code, _ := c.request(c.waitForLeader(p), "POST", "/leave?id="+p.id, nil)
			return code == http.StatusNoContent
		})
		c.start(p, c.others(p))
	}},
}

// While nodes are killed, paused and damaged, no change that was acknowledged is
// lost, no read is stale, and the nodes hold the same.
func TestClusterUnderFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := newCluster(t, "500ms", dir, dir, dir)
	l := startLoad(t, c, 5)
	end := time.Now().Add(*clusterFor)
	rounds := 0
	for round := true; round && !t.Failed(); round = time.Now().Before(end) {
		for _, f := range faults {
			l.progress(t, 20)
			f.do(t, c, l)
			c.waitForMembers()
			if t.Failed() {
				t.Fatal(f.name)
			}
		}
		rounds++
	}
	l.finish(t, c)
	c.agree()
	t.Logf("%d rounds", rounds)
}

// A follower whose disk is full falls behind, and catches up when there is room
// again. The others go on.
func TestFollowerWithAFullDisk(t *testing.T) {
	t.Parallel()
	disk := testutil.LoopDisk(t, 16<<20, "ext4")
	dir := t.TempDir()
	c := newCluster(t, "1s", dir, dir, disk)
	p := c.nodes[2]
	for c.waitForLeader() == p {
		p.process.Kill()
		c.waitForLeader(p)
		c.start(p, c.others(p))
		c.waitForMembers()
	}
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	value := bytes.Repeat([]byte("x"), 32<<10)
	for i := range 60 {
		if code, text := c.request(c.nodes[i%2], "PUT", fmt.Sprint("/kv/", i), value); code != http.StatusNoContent {
			t.Fatalf("beside a node whose disk is full: %d %s", code, text)
		}
	}
	leads, _ := c.waitForLeader().status()
	if s, ok := p.status(); !ok || s.Last+20 > leads.Last {
		t.Errorf("a node whose disk is full has %d of %d entries (it responds: %t)", s.Last, leads.Last, ok)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	c.waitForMembers()
	c.agree()
}

// fill writes a file until the disk is full.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if err := f.Sync(); err != nil {
		t.Logf("syncing a file that fills the disk: %v", err)
	}
}
