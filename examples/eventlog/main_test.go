package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/wal"
)

// A test binary that is started with this variable set is the server.
const beServer = "EVENTLOG_TEST_ARGS"

func TestMain(m *testing.M) {
	if args := os.Getenv(beServer); args != "" {
		os.Args = append(os.Args[:1], strings.Split(args, "\n")...)
		main()
		os.Exit(0)
	}
	testutil.PrivateMounts()
	os.Exit(m.Run())
}

// process is a running server.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	logged *bytes.Buffer
	end    chan error
}

// start runs the server and waits until it listens or ends.
func start(t *testing.T, dir string, more ...string) *process {
	t.Helper()
	testutil.RequireProcesses(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(exe), logged: new(bytes.Buffer), end: make(chan error, 1)}
	args := append([]string{"-addr", "127.0.0.1:0", "-file", dir, "-grow", "1048576"}, more...)
	p.cmd.Env = append(os.Environ(), beServer+"="+strings.Join(args, "\n"))
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	listening := make(chan string)
	go func() { // ends with the process
		defer close(listening)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			fmt.Fprintln(p.logged, lines.Text())
			if _, rest, ok := strings.Cut(lines.Text(), "msg=listening addr="); ok {
				addr, _, _ := strings.Cut(rest, " ")
				listening <- "http://" + addr
			}
		}
		p.end <- p.cmd.Wait()
	}()
	p.url = <-listening // empty if it has ended
	go func() {
		for range listening {
		}
	}()
	return p
}

// ended waits for the process and returns its log and its error.
func (p *process) ended() (logged string, err error) { err = <-p.end; return p.logged.String(), err }

func (p *process) do(method, path string, body []byte) (int, []byte) {
	p.t.Helper()
	status, b, err := request(method, p.url+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	return status, b
}

func request(method, url string, body []byte) (int, []byte, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

func logDir(t *testing.T) string { return filepath.Join(t.TempDir(), "events.log") }

// segment returns the segment of a log whose records have the text in them.
func segment(t *testing.T, dir, text string) (name string, content []byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "segment-*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && bytes.Contains(b, []byte(text)) {
			return name, b
		}
	}
	t.Fatalf("%q is in none of %v", text, names)
	return "", nil
}

func TestServe(t *testing.T) {
	p := start(t, logDir(t), "-max", "100", "-grow", "4096")
	var want bytes.Buffer
	for i := 1; i <= 200; i++ {
		rec := fmt.Appendf(nil, "event %d", i)
		status, b := p.do("POST", "/events", rec)
		var e event
		if err := json.Unmarshal(b, &e); err != nil || status != http.StatusCreated || e.Seq != uint64(i) {
			t.Fatalf("POST %d: %d %s", i, status, b)
		}
		if status, b := p.do("GET", fmt.Sprintf("/events/%d", i), nil); status != 200 || !bytes.Equal(b, rec) {
			t.Fatalf("GET %d: %d %q", i, status, b)
		}
		if i >= 150 && i < 160 {
			fmt.Fprintf(&want, "%d\n%s\n", len(rec), rec)
		}
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/events", "", 400},
		{"POST", "/events", strings.Repeat("x", 100), 201},
		{"POST", "/events", strings.Repeat("x", 101), 413},
		{"GET", "/events/0", "", 404},
		{"GET", "/events/202", "", 404},
		{"GET", "/events/18446744073709551615", "", 404},
		{"GET", "/events/18446744073709551616", "", 400},
		{"GET", "/events/-1", "", 400},
		{"GET", "/events/one", "", 400},
		{"GET", "/events?from=0", "", 400},
		{"GET", "/events?from=x", "", 400},
		{"GET", "/events?limit=-1", "", 400},
		{"GET", "/events?limit=0", "", 200},
		{"GET", "/events?from=9999", "", 200},
		{"DELETE", "/events/1", "", 405},
		{"GET", "/nothing", "", 404},
	} {
		if status, b := p.do(c.method, c.path, []byte(c.body)); status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, status, b, c.status)
		}
	}
	if _, b := p.do("GET", "/events?from=150&limit=10", nil); !bytes.Equal(b, want.Bytes()) {
		t.Errorf("the list is\n%s\nwant\n%s", b, &want)
	}
	status, b := p.do("GET", "/stats", nil)
	var stats map[string]any
	if err := json.Unmarshal(b, &stats); err != nil || status != 200 || stats["events"] != 201.0 {
		t.Errorf("stats: %d %s", status, b)
	}
}

// A scrape has the log and the pool, and the way to the dashboard loads the alerts.
func TestMetrics(t *testing.T) {
	p := start(t, logDir(t))
	for range 3 {
		p.do("POST", "/events", []byte("an event"))
	}
	for _, want := range []string{
		"\nfmmap_wal_records_total{log=\"events\"} 3\n",
		"\nfmmap_wal_wait_seconds_bucket{log=\"events\",le=\"+Inf\"} 3\n",
		"\nfmmap_lane_width{lane=\"flush\",pool=\"main\"} ",
		"\ngo_goroutines ",
	} {
		// A wait is counted when its batch is over, which the writer may learn first.
		testutil.WaitUntil(t, fmt.Sprintf("/metrics has %q", want), func() bool {
			status, b := p.do("GET", "/metrics", nil)
			return status == 200 && strings.Contains(string(b), want)
		})
	}
}

func TestPrometheusConfig(t *testing.T) {
	testutil.RequireProcesses(t)
	out, err := exec.Command(testutil.RequireTool(t, "promtool"), "check", "config", "prometheus.yml").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "rules found") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What was acknowledged is there after a kill, byte for byte.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	const clients = 32
	dir := logDir(t)
	acked := map[uint64]string{}
	for round := range 3 {
		p := start(t, dir, "-grow", "262144")
		var mu sync.Mutex
		var wg sync.WaitGroup
		var total atomic.Int64
		for c := range clients {
			wg.Go(func() {
				for i := 0; ; i++ {
					rec := fmt.Sprintf("round %d client %d event %d %s", round, c, i, strings.Repeat("-", i%300))
					status, b, err := request("POST", p.url+"/events", []byte(rec))
					var e event
					if err != nil || status != http.StatusCreated || json.Unmarshal(b, &e) != nil {
						return // killed
					}
					mu.Lock()
					acked[e.Seq] = rec
					mu.Unlock()
					if total.Add(1) == 1000 {
						_ = p.cmd.Process.Kill() // while the others are being stored
					}
				}
			})
		}
		wg.Wait()
		_, _ = p.ended()
	}
	p := start(t, dir)
	for seq, rec := range acked {
		if status, b := p.do("GET", fmt.Sprintf("/events/%d", seq), nil); status != 200 || string(b) != rec {
			t.Fatalf("event %d: %d %q, want %q", seq, status, b, rec)
		}
	}
	t.Logf("counted: %d acknowledged events over 3 kills, all there", len(acked))
}

// The server is the same over each executor: many clients at once, and a reader
// of what they have stored.
func TestExecutors(t *testing.T) {
	for _, executor := range []string{"goroutines", "antspool", "inline"} {
		t.Run(executor, func(t *testing.T) {
			p := start(t, logDir(t), "-executor", executor, "-grow", "4096")
			const clients, each = 16, 20
			var wg sync.WaitGroup
			for c := range clients {
				wg.Go(func() {
					for i := range each {
						rec := fmt.Appendf(nil, "client %d event %d", c, i)
						var e event
						status, b, err := request("POST", p.url+"/events", rec)
						if err != nil || status != http.StatusCreated || json.Unmarshal(b, &e) != nil {
							t.Errorf("POST: %d %s, %v", status, b, err)
							return
						}
						if status, b, err := request("GET", fmt.Sprintf("%s/events/%d", p.url, e.Seq), nil); err != nil || status != 200 || !bytes.Equal(b, rec) {
							t.Errorf("GET %d: %d %q, %v", e.Seq, status, b, err)
						}
					}
				})
			}
			wg.Wait()
			if runtime.GOOS == "windows" {
				return // no SIGTERM to send
			}
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if logged, err := p.ended(); err != nil || !strings.Contains(logged, fmt.Sprintf("msg=closing events=%d\n", clients*each)) {
				t.Errorf("ended with %v and logged %s", err, logged)
			}
		})
	}
}

func TestSignalDrains(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM to send")
	}
	dir := logDir(t)
	p := start(t, dir)
	body, feed := io.Pipe()
	done := make(chan string)
	// The body is sent only once the handler asks for it, so the first half has
	// gone to a handler that runs.
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	req, err := http.NewRequest("POST", p.url+"/events", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue")
	go func() { // a request that is half sent when the signal comes
		resp, err := client.Do(req)
		if err != nil {
			done <- err.Error()
			return
		}
		resp.Body.Close()
		done <- resp.Status
	}()
	if _, err := feed.Write([]byte("first half, ")); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = feed.Write([]byte("second half"))
	feed.Close()
	if status := <-done; !strings.HasPrefix(status, "201") {
		t.Errorf("the request under way: %s", status)
	}
	if logged, err := p.ended(); err != nil || !strings.Contains(logged, "msg=closing events=1\n") {
		t.Errorf("ended with %v and logged %s", err, logged)
	}
	p = start(t, dir)
	if _, b := p.do("GET", "/events/1", nil); string(b) != "first half, second half" {
		t.Errorf("the event is %q", b)
	}
}

func TestTornRecordIsLeftOut(t *testing.T) {
	dir := logDir(t)
	p := start(t, dir)
	p.do("POST", "/events", []byte("whole"))
	p.do("POST", "/events", []byte("to be torn"))
	_ = p.cmd.Process.Kill()
	_, _ = p.ended()
	name, b := segment(t, dir, "torn")
	b[bytes.Index(b, []byte("torn"))] = 'T'
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	p = start(t, dir)
	if status, b := p.do("GET", "/events/1", nil); status != 200 || string(b) != "whole" {
		t.Errorf("the whole one: %d %q", status, b)
	}
	if status, _ := p.do("GET", "/events/2", nil); status != 404 {
		t.Errorf("the torn one: %d", status)
	}
	if status, b := p.do("POST", "/events", []byte("next")); status != 201 || !strings.Contains(string(b), `"seq":2`) {
		t.Errorf("the next one: %d %s", status, b)
	}
}

// A record that was acknowledged and is damaged, with others behind it, is no
// torn one: the server does not start, and names the file.
func TestDamagedLogIsRefused(t *testing.T) {
	dir := logDir(t)
	p := start(t, dir)
	for _, rec := range []string{"first", "second", "third"} {
		p.do("POST", "/events", []byte(rec))
	}
	_ = p.cmd.Process.Kill()
	_, _ = p.ended()
	name, b := segment(t, dir, "second")
	b[bytes.Index(b, []byte("second"))] = 'S'
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), []string{"-addr", "127.0.0.1:0", "-file", dir}, io.Discard, io.Discard)
	if !errors.Is(err, wal.ErrCorrupt) || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v, want damage of %s", err, name)
	}
}

// Another process cuts a file while the server runs. A request for lost bytes
// fails, without the path of the file, and the server goes on.
func TestTruncatedUnderTheServer(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows shortens no file that is mapped")
	}
	dir := logDir(t)
	p := start(t, dir, "-max", "100000")
	rec := bytes.Repeat([]byte("x"), 100_000)
	for range 3 {
		p.do("POST", "/events", rec)
	}
	file, _ := segment(t, dir, "xxx")
	if err := os.Truncate(file, 4096); err != nil {
		t.Fatal(err)
	}
	status, b, err := request("GET", p.url+"/events/3", nil)
	if err == nil && status == 200 && len(b) == len(rec) {
		t.Error("got a record that is gone")
	}
	if strings.Contains(string(b), dir) {
		t.Errorf("the response names the server's file: %s", b)
	}
	if _, b, err := request("GET", p.url+"/events", nil); err == nil && len(b) > 3*len(rec) {
		t.Error("got a list of records that are gone")
	}
	if status, b := p.do("POST", "/events", rec); status == http.StatusCreated || strings.Contains(string(b), dir) {
		t.Errorf("a record for the file that was cut: %d %s", status, b)
	}
	if status, _ := p.do("GET", "/stats", nil); status != 200 {
		t.Errorf("stats: %d", status)
	}
	_ = p.cmd.Process.Kill()
	if logged, _ := p.ended(); !strings.Contains(logged, file) {
		t.Errorf("the log names no file: %s", logged)
	}
}

// A record whose bytes are lost while they are sent is a fault of the log, and
// not an error of the connection: it is what the server logs.
func TestSendOfLostBytes(t *testing.T) {
	dir := logDir(t)
	l, err := wal.Open(t.Context(), dir, wal.Options{SegmentSize: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	seq, err := l.Write(t.Context(), bytes.Repeat([]byte("x"), 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := l.Load(t.Context(), seq).Await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	file, _ := segment(t, dir, "xxx")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	drained := make(chan int64, 1)
	go func() { // ends with the connection
		c, err := listener.Accept()
		if err != nil {
			drained <- 0
			return
		}
		defer c.Close()
		n, _ := io.Copy(io.Discard, c)
		drained <- n
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 8192); err != nil {
		conn.Close()
		t.Skip("needs a system that shortens a mapped file:", err)
	}
	err = send(conn, rec)
	conn.Close()
	<-drained
	fault, ok := errors.AsType[*core.FaultError](err)
	if !ok || !errors.Is(err, core.ErrFault) || fault.Offset < 8192 || fault.Offset >= rec.Offset()+rec.Len() || !strings.Contains(err.Error(), file) {
		t.Errorf("sending lost bytes: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	dir := logDir(t)
	first := start(t, dir)
	first.do("POST", "/events", []byte("held"))
	other := t.TempDir()
	foreign := filepath.Join(other, "meta")
	const text = "this is something else entirely"
	if err := os.WriteFile(foreign, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"in use", []string{"-file", dir}, "in use by another process"},
		{"foreign", []string{"-file", other}, "not a log"},
		{"no directory", []string{"-file", foreign}, foreign},
		{"no file", nil, "-file is missing"},
		{"negative", []string{"-file", foreign, "-max", "-1"}, "-max"},
		{"too large", []string{"-file", foreign, "-max", "9999999999999"}, "-max"},
		{"no growth", []string{"-file", foreign, "-grow", "0"}, "-grow"},
		{"rest", []string{"-file", foreign, "x"}, "unexpected argument"},
		{"executor", []string{"-file", foreign, "-executor", "threads"}, "-executor threads"},
		{"address", []string{"-file", filepath.Join(other, "log"), "-addr", "127.0.0.1:x"}, "port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := run(context.Background(), c.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
	if got, _ := os.ReadFile(foreign); string(got) != text {
		t.Errorf("the foreign file is %q", got)
	}
	if left, _ := os.ReadDir(other); len(left) != 1 {
		t.Errorf("beside the foreign file is something new: %v", left)
	}
}

func TestWrongArgumentsPrintUsage(t *testing.T) {
	p := start(t, logDir(t), "-what")
	logged, err := p.ended()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 2 || !strings.Contains(logged, "usage: eventlog") {
		t.Errorf("ended with %v and printed %s", err, logged)
	}
}

// On a full disk the server responds with 507, names no file of its own, and has
// used the disk first, except for less than a segment. It goes on serving the
// events that it has, and closes its log.
func TestFullDisk(t *testing.T) {
	const disk, step = 8 << 20, 1 << 20
	dir := testutil.LoopDisk(t, disk, "tmpfs")
	events := filepath.Join(dir, "events.log")
	p := start(t, events, "-grow", fmt.Sprint(step))
	rec := bytes.Repeat([]byte("x"), 100_000)
	n := 0
	for {
		status, b := p.do("POST", "/events", rec)
		if status == http.StatusCreated {
			n++
			continue
		}
		if status != http.StatusInsufficientStorage || strings.Contains(string(b), dir) {
			t.Errorf("on a full disk: %d %s", status, b)
		}
		break
	}
	// A segment holds 10 of these records, and meta takes 128 KiB.
	if want := (disk - 128<<10) / step * 10; n < want {
		t.Errorf("on a disk of %d bytes there are %d events, want %d", disk, n, want)
	}
	if status, b := p.do("GET", fmt.Sprintf("/events/%d", n), nil); status != 200 || !bytes.Equal(b, rec) {
		t.Errorf("the last event: %d, %d bytes", status, len(b))
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if logged, err := p.ended(); err != nil || !strings.Contains(logged, errNoRoom.Error()) {
		t.Errorf("ended with %v and logged %s", err, logged)
	}
	p = start(t, events, "-grow", fmt.Sprint(step))
	if status, b := p.do("GET", fmt.Sprintf("/events/%d", n), nil); status != 200 || !bytes.Equal(b, rec) {
		t.Errorf("the last event, after another start: %d, %d bytes", status, len(b))
	}
}
