package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"sync"

	"github.com/hashicorp/raft"
)

// A command is what the entries of the log hold, as JSON.
type command struct {
	Op    string `json:"op"`
	Key   string `json:"key"` // the node's id in opNode and opLeave
	Value []byte `json:"value"`
	Was   []byte `json:"was"` // opPut: unless nil, only where this is the value
}

const (
	opPut    = "put"
	opDelete = "delete"
	opNode   = "node"  // the node serves HTTP at the address Value
	opLeave  = "leave" // the node is no member any more
)

// An outcome is what a command has done.
type outcome struct {
	index uint64
	done  bool // false: a condition did not hold, and nothing was changed
}

// machine is the replicated state: the keys with their values, and where the
// nodes serve HTTP.
type machine struct {
	mu    sync.RWMutex
	state state
}

// state is what snapshots hold, as JSON. A value is never changed in place.
type state struct {
	Values map[string][]byte `json:"values"`
	Nodes  map[string]string `json:"nodes"`
}

func newMachine() *machine {
	return &machine{state: state{Values: map[string][]byte{}, Nodes: map[string]string{}}}
}

// Apply carries out a committed command. All nodes do the same, so what is wrong
// with a command is an outcome too, and changes nothing.
func (m *machine) Apply(entry *raft.Log) any {
	var c command
	if err := json.Unmarshal(entry.Data, &c); err != nil {
		return fmt.Errorf("entry %d: %w", entry.Index, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch s := m.state; c.Op {
	case opPut:
		if was, ok := s.Values[c.Key]; c.Was != nil && (!ok || !bytes.Equal(was, c.Was)) {
			return outcome{entry.Index, false}
		}
		s.Values[c.Key] = c.Value
	case opDelete:
		delete(s.Values, c.Key)
	case opNode:
		s.Nodes[c.Key] = string(c.Value)
	case opLeave:
		delete(s.Nodes, c.Key)
	default:
		return fmt.Errorf("entry %d: unknown command %q", entry.Index, c.Op)
	}
	return outcome{entry.Index, true}
}

// encode returns the data of an entry.
func (c command) encode() []byte {
	b, _ := json.Marshal(c) // of strings and bytes: cannot fail
	return b
}

// value returns the value of a key.
func (m *machine) value(key string) (value []byte, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	value, ok = m.state.Values[key]
	return value, ok
}

// values returns all keys with their values.
func (m *machine) values() map[string][]byte {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return maps.Clone(m.state.Values)
}

// nodes returns where each node serves HTTP.
func (m *machine) nodes() map[string]string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return maps.Clone(m.state.Nodes)
}

// size returns the number of keys.
func (m *machine) size() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.state.Values)
}

// Snapshot returns a copy of the state, which Persist writes meanwhile.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return state{maps.Clone(m.state.Values), maps.Clone(m.state.Nodes)}, nil
}

// Restore takes the state of a snapshot.
func (m *machine) Restore(snapshot io.ReadCloser) error {
	defer snapshot.Close()
	s := newMachine().state
	if err := json.NewDecoder(snapshot).Decode(&s); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = s
	return nil
}

// Persist writes the snapshot.
func (s state) Persist(to raft.SnapshotSink) error {
	if err := json.NewEncoder(to).Encode(s); err != nil {
		_ = to.Cancel()
		return err
	}
	return to.Close()
}

// Release does nothing: the copy is the collector's.
func (s state) Release() {}
