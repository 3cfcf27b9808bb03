package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/fmmap-go/fmmap/wal"
)

// A status describes a node at a moment.
type status struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Leader   string    `json:"leader"` // its id
	Term     uint64    `json:"term"`
	First    uint64    `json:"first"` // index of the first entry of the log, 0 if there is none
	Last     uint64    `json:"last"`  // of the last one that is durable
	Commit   uint64    `json:"commit"`
	Applied  uint64    `json:"applied"`
	Snapshot uint64    `json:"snapshot"` // index of the last entry in the latest snapshot
	Contact  string    `json:"contact"`  // time since the last sign of the leader
	Keys     int       `json:"keys"`
	Members  []member  `json:"members"`
	Log      wal.Stats `json:"log"`
}

// A member is a node as the cluster's configuration has it.
type member struct {
	ID   string `json:"id"`
	Raft string `json:"raft"`
	HTTP string `json:"http"`
}

func (n *node) status() status {
	_, leader := n.raft.LeaderWithID()
	stats := n.raft.Stats()
	s := status{
		ID: n.id, State: n.raft.State().String(), Leader: string(leader), Term: n.raft.CurrentTerm(),
		Commit: n.raft.CommitIndex(), Applied: n.raft.AppliedIndex(), Contact: stats["last_contact"],
		Keys: n.machine.size(), Log: n.store.Log().Stats(),
	}
	s.First, _ = n.store.FirstIndex() // never fail
	s.Last, _ = n.store.LastIndex()
	s.Snapshot, _ = strconv.ParseUint(stats["last_snapshot_index"], 10, 64)
	nodes := n.machine.nodes()
	if f := n.raft.GetConfiguration(); f.Error() == nil {
		for _, m := range f.Configuration().Servers {
			s.Members = append(s.Members, member{string(m.ID), string(m.Address), nodes[string(m.ID)]})
		}
	}
	return s
}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// A row of the page is a member and what it has said of itself.
type row struct {
	Member member
	Status *status // nil if it did not respond
	Leads  bool
	Lag    uint64 // entries that are committed, but not applied by it
}

// page shows the cluster as this node sees it.
func (h *handler) page(w http.ResponseWriter, r *http.Request) {
	own := h.node.status()
	rows := make([]row, len(own.Members))
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i, m := range own.Members {
		rows[i] = row{Member: m, Leads: m.ID == own.Leader}
		if m.ID == own.ID {
			rows[i].Status = &own
			continue
		}
		wg.Go(func() { rows[i].Status = ask(ctx, m.HTTP) })
	}
	wg.Wait()
	commit := own.Commit
	for _, row := range rows {
		if row.Status != nil {
			commit = max(commit, row.Status.Commit)
		}
	}
	for i := range rows {
		if rows[i].Status != nil {
			rows[i].Lag = commit - min(commit, rows[i].Status.Applied)
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	err := pageTemplate.Execute(w, struct {
		Own     status
		Commit  uint64
		Rows    []row
		Follows bool
	}{own, commit, rows, own.Leader != own.ID})
	if err != nil && r.Context().Err() == nil {
		h.log.Printf("the page: %v", err)
	}
}

// ask returns what another node says of itself, nil if it does not respond.
func ask(ctx context.Context, addr string) *status {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/status", nil)
	if err != nil {
		return nil
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	var s status
	if json.NewDecoder(resp.Body).Decode(&s) != nil {
		return nil
	}
	return &s
}
