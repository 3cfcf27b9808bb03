package fmmapprom_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// panel is what the tests read of a panel of a dashboard.
type panel struct {
	Title   string
	Type    string
	Panels  []panel
	GridPos struct{ H, W, X, Y int }
	Targets []struct{ Expr, LegendFormat string }
}

// dashboard returns the panels of dashboard.json that are no rows.
func dashboard(t *testing.T) (list []panel) {
	t.Helper()
	text, err := os.ReadFile("dashboard.json")
	check(t, err)
	var d struct {
		Title, UID string
		Panels     []panel
	}
	check(t, json.Unmarshal(text, &d))
	if d.Title == "" || d.UID == "" {
		t.Error("the dashboard has no title or no uid")
	}
	for _, p := range d.Panels {
		if p.Type != "row" {
			list = append(list, p)
		}
		if len(p.Panels) > 0 {
			t.Errorf("%s: panels within a row", p.Title)
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s is %d of 24 columns wide from %d on", p.Title, p.GridPos.W, p.GridPos.X)
		}
	}
	return list
}

// expressions returns the queries of the dashboard, with values in place of its
// variables, by the titles of their panels.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	values := strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$instance", ".*")
	found := map[string]string{}
	for _, p := range dashboard(t) {
		if len(p.Targets) == 0 {
			t.Errorf("%s has no query", p.Title)
		}
		for i, target := range p.Targets {
			expr := values.Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: a variable is unknown: %s", p.Title, expr)
			}
			found[fmt.Sprintf("%s, %c", p.Title, 'A'+i)] = expr
		}
	}
	if len(found) < 20 {
		t.Errorf("the dashboard has %d queries", len(found))
	}
	return found
}

// exported returns the names of the series that a collector of all kinds of
// things exports, and those that nothing has used yet.
func exported(t *testing.T) (names, unused map[string]bool) {
	t.Helper()
	w := newWorld(t)
	r := prometheus.NewPedanticRegistry()
	check(t, r.Register(w.metrics))
	families, err := r.Gather()
	check(t, err)
	names, unused = map[string]bool{}, map[string]bool{}
	for _, f := range families {
		unused[f.GetName()] = true
		if f.Metric[0].Histogram == nil {
			names[f.GetName()] = true
			continue
		}
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			names[f.GetName()+part] = true
		}
	}
	return names, unused
}

var metricName = regexp.MustCompile(`fmmap_\w+`)

// The dashboard and the alerts use the names that the collector exports, and
// README.md lists every one.
func TestNamesOfDashboardAndAlerts(t *testing.T) {
	names, unused := exported(t)
	alerts, err := os.ReadFile("alerts.yml")
	check(t, err)
	readme, err := os.ReadFile("README.md")
	check(t, err)
	checkNames := func(where, text string) {
		for _, name := range metricName.FindAllString(text, -1) {
			if !names[name] && !unused[name] {
				t.Errorf("%s: the collector exports no %s", where, name)
			}
		}
	}
	for title, expr := range expressions(t) {
		checkNames(title, expr)
		if !metricName.MatchString(expr) {
			t.Errorf("%s: no metric in %s", title, expr)
		}
	}
	checkNames("alerts.yml", string(alerts))
	checkNames("README.md", string(readme))
	for name := range unused {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md does not list %s", name)
		}
	}
}

// promtool runs promtool and fails with what it prints if it does.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command(testutil.RequireTool(t, "promtool"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %q: %v\n%s", args, err, out)
	}
}

// rules writes the queries of the dashboard as recording rules.
func rules(t *testing.T) (name string) {
	t.Helper()
	type rule struct {
		Record string            `json:"record"`
		Expr   string            `json:"expr"`
		Labels map[string]string `json:"labels"`
	}
	var list []rule
	for title, expr := range expressions(t) {
		list = append(list, rule{fmt.Sprintf("dashboard:query:%d", len(list)), expr, map[string]string{"title": title}})
	}
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": list}}})
	check(t, err)
	name = filepath.Join(t.TempDir(), "dashboard.yml") // JSON is YAML
	check(t, os.WriteFile(name, text, 0o600))
	return name
}

// The alerts fire when they should and at no other time, and all queries parse.
func TestRules(t *testing.T) {
	testutil.RequireProcesses(t)
	promtool(t, "test", "rules", "alerts_test.yml")
	promtool(t, "check", "rules", "--lint-fatal", "alerts.yml", rules(t))
}

// A real Prometheus scrapes a program with one thing of each kind, loads the rules,
// and has a result for each query of the dashboard.
func TestPrometheusScrapes(t *testing.T) {
	testutil.RequireProcesses(t)
	prometheusPath := testutil.RequireTool(t, "prometheus")
	w := newWorld(t)
	r := prometheus.NewRegistry()
	check(t, r.Register(w.metrics))
	server := httptest.NewServer(promhttp.HandlerFor(r, promhttp.HandlerOpts{DisableCompression: true}))
	t.Cleanup(server.Close)
	alerts, err := filepath.Abs("alerts.yml")
	check(t, err)
	dir := t.TempDir()
	// A scrape may take as long as the time between two: on a busy machine, a tenth
	// of a second is too short for it, and each that is late makes the series stale.
	config := fmt.Sprintf(`{"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
		"rule_files": [%q, %q],
		"scrape_configs": [{"job_name": "test", "static_configs": [{"targets": [%q]}]}]}`,
		alerts, rules(t), server.Listener.Addr())
	check(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	addr := listener.Addr().String()
	check(t, listener.Close())
	var log bytes.Buffer
	cmd := exec.Command(prometheusPath, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	cmd.Stdout, cmd.Stderr = &log, &log
	check(t, cmd.Start())
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		client.CloseIdleConnections()
		if t.Failed() {
			t.Logf("prometheus:\n%s", &log)
		}
	})
	get := func(path string, v any) bool {
		resp, err := client.Get("http://" + addr + path)
		if err != nil {
			return false // not listening yet
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(v) == nil
	}

	for title, expr := range expressions(t) {
		var result struct {
			Data struct{ Result []json.RawMessage }
		}
		testutil.WaitUntil(t, title+" has a result", func() bool {
			return get("/api/v1/query?query="+url.QueryEscape(expr), &result) && len(result.Data.Result) > 0
		})
	}
	var loaded struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	testutil.WaitUntil(t, "all rules have been evaluated", func() bool {
		n := 0
		if !get("/api/v1/rules", &loaded) {
			return false
		}
		for _, g := range loaded.Data.Groups {
			for _, rule := range g.Rules {
				if rule.Health == "err" {
					t.Fatalf("%s: %s", rule.Name, rule.LastError)
				}
				if rule.Health == "ok" {
					n++
				}
			}
		}
		return n >= 10+len(expressions(t))
	})
}
