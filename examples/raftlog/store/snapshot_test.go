package store

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// noMachine has no state.
type noMachine struct{}

func (noMachine) Apply(*raft.Log) any                 { return nil }
func (noMachine) Snapshot() (raft.FSMSnapshot, error) { return nil, io.ErrUnexpectedEOF }
func (noMachine) Restore(r io.ReadCloser) error       { return r.Close() }

// A leader that sends a snapshot a second time does not take from a follower
// what it has acknowledged since.
func TestSnapshotInstalledTwice(t *testing.T) {
	s := open(t, t.TempDir())
	_, here := raft.NewInmemTransport("here")
	_, leader := raft.NewInmemTransport("leader")
	leader.Connect("here", here)
	defer leader.Close()
	servers := raft.Configuration{Servers: []raft.Server{{ID: "here", Address: "here"}, {ID: "leader", Address: "leader"}}}
	config := raft.DefaultConfig()
	config.LocalID, config.Logger = "here", hclog.NewNullLogger()
	config.HeartbeatTimeout, config.ElectionTimeout = time.Hour, time.Hour // it stays a follower
	r, err := raft.NewRaft(config, noMachine{}, s, s, raft.NewInmemSnapshotStore(), here)
	must(t, err)
	defer func() { must(t, r.Shutdown().Error()) }()

	header := raft.RPCHeader{ProtocolVersion: config.ProtocolVersion, ID: []byte("leader"), Addr: []byte("leader")}
	install := func(last uint64) {
		t.Helper()
		args := &raft.InstallSnapshotRequest{
			RPCHeader: header, SnapshotVersion: raft.SnapshotVersionMax, Term: 1, LastLogIndex: last, LastLogTerm: 1,
			Configuration: raft.EncodeConfiguration(servers), ConfigurationIndex: 1, Size: 4,
		}
		var resp raft.InstallSnapshotResponse
		must(t, leader.InstallSnapshot("here", "here", args, &resp, bytes.NewReader([]byte("none"))))
		if !resp.Success {
			t.Fatalf("the snapshot up to %d was not installed", last)
		}
	}
	send := func(first uint64, n int) {
		t.Helper()
		batch := entries(first, n)
		for _, e := range batch {
			e.Term = 1
		}
		args := &raft.AppendEntriesRequest{
			RPCHeader: header, Term: 1, PrevLogEntry: first - 1, PrevLogTerm: 1, Entries: batch, LeaderCommitIndex: first - 1,
		}
		var resp raft.AppendEntriesResponse
		must(t, leader.AppendEntries("here", "here", args, &resp))
		if !resp.Success {
			t.Fatalf("entries from %d on were not stored: %+v", first, resp)
		}
	}
	must(t, s.StoreLogs(entries(1, 3))) // which raft does not know: they go, too
	install(50)
	send(51, 10)
	install(50)
	holds(t, s, 51, 60)
	send(61, 1)
	testutil.WaitUntil(t, "what is committed is applied", func() bool { return r.AppliedIndex() == 60 })
	holds(t, s, 51, 61)
}
