package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/fmmap-go/fmmap/examples/raftlog/store"
	"github.com/fmmap-go/fmmap/lock"
	"github.com/fmmap-go/fmmap/wal"
)

// patience is how long a request waits for raft.
const patience = 5 * time.Second

// A node is a member of the cluster, or is about to become one.
type node struct {
	settings
	machine   *machine
	store     *store.Store
	transport *raft.NetworkTransport
	raft      *raft.Raft
}

// logDir returns where a node keeps its log; the snapshots are beside it.
func logDir(dir string) string { return filepath.Join(dir, "log") }

// openNode opens the node's log and starts raft. It checks every entry first: a
// node whose log is damaged must not pass it on.
func openNode(ctx context.Context, s settings, errs io.Writer) (n *node, err error) {
	n = &node{settings: s, machine: newMachine()}
	defer func() {
		if err != nil {
			_ = n.close()
		}
	}()
	n.store, err = store.Open(ctx, logDir(s.dir), wal.Options{SegmentSize: s.segment})
	if errors.Is(err, lock.ErrLocked) {
		return n, fmt.Errorf("%s is in use by another process", s.dir)
	}
	if err == nil {
		err = n.store.Log().Verify(ctx)
	}
	if errors.Is(err, wal.ErrCorrupt) {
		return n, fmt.Errorf("the log is damaged: %w; remove %s and let the node join anew", err, s.dir)
	}
	if err != nil {
		return n, err
	}
	level := hclog.Error
	if s.verbose {
		level = hclog.Info
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: "raft " + s.id, Level: level, Output: errs})
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(s.dir, 2, logger)
	if err != nil {
		return n, err
	}
	n.transport, err = raft.NewTCPTransportWithLogger(s.raft, nil, 3, 10*time.Second, logger)
	if err != nil {
		return n, err
	}
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(s.id)
	config.Logger = logger
	config.HeartbeatTimeout, config.ElectionTimeout = s.heartbeat, s.heartbeat
	config.LeaderLeaseTimeout, config.CommitTimeout = s.heartbeat/2, min(s.heartbeat/10, config.CommitTimeout)
	config.SnapshotThreshold, config.TrailingLogs = s.every, s.keep
	config.ShutdownOnRemove = false // a leader that has left still responds
	config.SnapshotInterval = min(config.SnapshotInterval, 2*s.heartbeat)
	old, err := raft.HasExistingState(n.store, n.store, snapshots)
	if err == nil && !old && s.join == "" {
		err = raft.BootstrapCluster(config, n.store, n.store, snapshots, n.transport, raft.Configuration{
			Servers: []raft.Server{{ID: config.LocalID, Address: n.transport.LocalAddr()}},
		})
	}
	if err != nil {
		return n, err
	}
	n.raft, err = raft.NewRaft(config, n.machine, n.store, n.store, snapshots, n.transport)
	return n, err
}

// close closes what openNode has opened.
func (n *node) close() error {
	var errs []error
	if n.raft != nil {
		// The future waits for each goroutine of raft, also for one that waits for room
		// in its pipeline to a node, and does not learn that it is to stop (1.8.0,
		// netPipeline.AppendEntries). It writes nothing, so it may be left behind.
		ended := make(chan error, 1)
		go func() { ended <- n.raft.Shutdown().Error() }()
		select {
		case err := <-ended:
			errs = append(errs, err)
		case <-time.After(patience):
		}
	}
	if n.transport != nil {
		errs = append(errs, n.transport.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}

// apply commits a command, and returns what it has done. After
// [raft.ErrLeadershipLost] it may still be done, or not.
func (n *node) apply(c command) (outcome, error) {
	f := n.raft.Apply(c.encode(), patience)
	if err := f.Error(); err != nil {
		return outcome{}, err
	}
	switch r := f.Response().(type) {
	case outcome:
		return r, nil
	case error:
		return outcome{}, r
	default:
		return outcome{}, fmt.Errorf("the machine returned %v", r)
	}
}

// announce lets the cluster know where this node serves HTTP: it joins if that
// was asked for, and tells it whenever it becomes the leader. It ends with ctx.
func (n *node) announce(ctx context.Context, logger *log.Logger) {
	joined := n.join == ""
	retry := time.NewTicker(max(n.heartbeat/2, 50*time.Millisecond))
	defer retry.Stop()
	members := strings.Split(n.join, ",")
	for tries := 0; ; tries++ {
		if !joined {
			member := members[tries%len(members)]
			err := n.askToJoin(ctx, member)
			if joined = err == nil; joined {
				logger.Printf("joined the cluster of %s", member)
			} else if tries == 0 {
				logger.Printf("joining: %v; trying again", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case leads := <-n.raft.LeaderCh():
			if !leads {
				continue
			}
			logger.Printf("leading in term %d", n.raft.CurrentTerm())
			if n.machine.nodes()[n.id] != n.http {
				// Where this fails another leader is elected.
				_, _ = n.apply(command{Op: opNode, Key: n.id, Value: []byte(n.http)})
			}
		case <-retry.C:
		}
	}
}

// askToJoin asks a member at an HTTP address to add this node. The request is
// passed on to the leader.
func (n *node) askToJoin(ctx context.Context, member string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q := url.Values{"id": {n.id}, "raft": {n.settings.raft}, "http": {n.http}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+member+"/join?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(b))
	}
	return nil
}

// add makes a node a member, or changes its address. It does nothing if the node
// is a member with these addresses.
func (n *node) add(id, addr, httpAddr string) error {
	f := n.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return err
	}
	member := false
	for _, s := range f.Configuration().Servers {
		member = member || s.ID == raft.ServerID(id) && s.Address == raft.ServerAddress(addr) && s.Suffrage == raft.Voter
	}
	if !member {
		if err := n.raft.AddVoter(raft.ServerID(id), raft.ServerAddress(addr), 0, patience).Error(); err != nil {
			return err
		}
	}
	if n.machine.nodes()[id] == httpAddr {
		return nil
	}
	_, err := n.apply(command{Op: opNode, Key: id, Value: []byte(httpAddr)})
	return err
}

// remove ends the membership of a node.
func (n *node) remove(id string) error {
	_, err := n.apply(command{Op: opLeave, Key: id})
	if err != nil {
		return err
	}
	return n.raft.RemoveServer(raft.ServerID(id), 0, patience).Error()
}

// leader returns the HTTP address of the leader, empty if there is none that is
// known.
func (n *node) leader() string {
	_, id := n.raft.LeaderWithID()
	return n.machine.nodes()[string(id)]
}
