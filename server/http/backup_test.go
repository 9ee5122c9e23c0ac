package http_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/machine"
	serverhttp "github.com/huddlecache/huddle/server/http"
)

// fakeBackups are the backups of a fakeNode.
type fakeBackups struct {
	content io.WriterTo // of the next backup
	refusal error       // of either call
	taken   string      // what was restored
	busy    time.Duration
}

func fakeInfo() cluster.BackupInfo {
	return cluster.BackupInfo{Cluster: "5f0c", Index: 812, Level: 1, Time: time.Unix(1_700_000_000, 0).UTC()}
}

func (f *fakeBackups) Backup(context.Context) (*cluster.Backup, error) {
	if f.refusal != nil {
		return nil, f.refusal
	}
	return &cluster.Backup{BackupInfo: fakeInfo(), WriterTo: f.content}, nil
}

func (f *fakeBackups) Restore(ctx context.Context, from io.Reader) (cluster.Restored, error) {
	b, err := io.ReadAll(from)
	f.taken = string(b)
	select {
	case <-time.After(f.busy):
	case <-ctx.Done():
		return cluster.Restored{}, ctx.Err()
	}
	if err = errors.Join(err, f.refusal); err != nil {
		return cluster.Restored{}, err
	}
	return cluster.Restored{Backup: fakeInfo(), Cluster: "77aa", Index: 99}, nil
}

func TestBackupIsWhatTheNodeWrites(t *testing.T) {
	node := newFake()
	node.content = strings.NewReader("the state")
	answer := do(t, serverhttp.New(serverhttp.Config{Node: node}).Handler(), "GET", "/v1/backup", "")
	if got := text(t, answer); got != "the state" || answer.StatusCode != 200 {
		t.Errorf("got %d %q", answer.StatusCode, got)
	}
	for name, want := range map[string]string{
		"Content-Type":        "application/octet-stream",
		"Content-Disposition": `attachment; filename="huddle-5f0c-812.backup"`,
		"Huddle-Index":        "5f0c-812",
		"Cache-Control":       "no-store",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestRestoreSaysWhatWasRestored(t *testing.T) {
	node := newFake()
	answer := do(t, serverhttp.New(serverhttp.Config{Node: node}).Handler(), "PUT", "/v1/backup", "the state", "Content-Type: application/octet-stream")
	var got cluster.Restored
	if err := json.Unmarshal([]byte(text(t, answer)), &got); err != nil {
		t.Fatal(err)
	}
	if want := (cluster.Restored{Backup: fakeInfo(), Cluster: "77aa", Index: 99}); got != want || answer.StatusCode != 200 {
		t.Errorf("got %d %+v, want %+v", answer.StatusCode, got, want)
	}
	if node.taken != "the state" {
		t.Errorf("the node got %q", node.taken)
	}
}

func TestProblemsOfBackups(t *testing.T) {
	for _, test := range []struct {
		method string
		err    error
		status int
		kind   string
	}{
		{"GET", machine.ErrNoQuorum, 503, "no-quorum"},
		{"GET", machine.ErrLoading, 503, "loading"},
		{"PUT", fmt.Errorf("restoring: %w", machine.ErrUnknown), 504, "unknown"},
		{"PUT", machine.ErrFull, 507, "state-full"},
		{"PUT", cluster.ErrDamaged, 422, "backup-damaged"},
		{"PUT", fmt.Errorf("%w: section 7", cluster.ErrNewer), 422, "backup-newer"},
		{"PUT", fmt.Errorf("%w: another", cluster.ErrRefused), 409, "refused"},
	} {
		node := newFake()
		node.refusal = test.err
		answer := do(t, serverhttp.New(serverhttp.Config{Node: node}).Handler(), test.method, "/v1/backup", "")
		var got struct{ Type, Detail string }
		if err := json.Unmarshal([]byte(text(t, answer)), &got); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != test.status || !strings.HasSuffix(got.Type, "/"+test.kind) || got.Detail != test.err.Error() {
			t.Errorf("%s: got %d %+v, want %d %s", test.err, answer.StatusCode, got, test.status, test.kind)
		}
	}
}

func TestBackupsAskForThePassword(t *testing.T) {
	h := serverhttp.New(serverhttp.Config{Node: newFake(), Password: "p"}).Handler()
	for _, method := range []string{"GET", "PUT"} {
		if answer := do(t, h, method, "/v1/backup", ""); answer.StatusCode != 401 {
			t.Errorf("%s: got %d, want 401", method, answer.StatusCode)
		}
	}
}

// slowly takes its time for each of its pieces.
type slowly struct {
	pieces int
	wait   time.Duration
	err    error // at the end
}

func (s slowly) WriteTo(w io.Writer) (int64, error) {
	for range s.pieces {
		time.Sleep(s.wait)
		if _, err := w.Write(make([]byte, 64<<10)); err != nil {
			return 0, err
		}
	}
	return 0, s.err
}

// onPipe runs a real server on in-memory connections, and returns a client.
func onPipe(t *testing.T, node *fakeNode) *http.Client {
	t.Helper()
	server := serverhttp.New(serverhttp.Config{Node: node})
	srv := server.NewHTTPServer(server.Handler())
	ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		ln.conns <- there
		return here, nil
	}}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		_ = srv.Close()
		<-served
	})
	return client
}

// The server's limits on a whole request and answer are a minute at most.
func TestBackupsMayTakeLongAsLongAsTheyGetOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFake()
		node.content = slowly{pieces: 20, wait: 20 * time.Second}
		client := onPipe(t, node)
		answer, err := client.Get("http://node/v1/backup")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, answer.Body); n != 20*64<<10 || err != nil {
			t.Errorf("got %d bytes, %v", n, err)
		}

		node.busy = 10 * time.Minute // while the cluster takes it
		from, to := io.Pipe()
		go func() {
			_, err := slowly{pieces: 20, wait: 20 * time.Second}.WriteTo(to)
			to.CloseWithError(err)
		}()
		req, err := http.NewRequestWithContext(t.Context(), "PUT", "http://node/v1/backup", from)
		if err != nil {
			t.Fatal(err)
		}
		answer, err = client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(t, answer); answer.StatusCode != 200 || len(node.taken) != 20*64<<10 {
			t.Errorf("got %d %s, the node %d bytes", answer.StatusCode, got, len(node.taken))
		}
	})
}

func TestABackupThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFake()
		node.content = slowly{pieces: 2, err: errors.New("broken")}
		answer, err := onPipe(t, node).Get("http://node/v1/backup")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, answer.Body); err == nil {
			t.Errorf("got %d bytes and a clean end", n)
		}
	})
}

func TestAClientThatStallsIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := newFake()
		ended := make(chan error, 1)
		node.content = writerTo(func(w io.Writer) (int64, error) {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					ended <- err
					return 0, err
				}
			}
		})
		answer, err := onPipe(t, node).Get("http://node/v1/backup")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		start := time.Now()
		<-ended
		if took := time.Since(start); took > time.Minute {
			t.Errorf("a client that reads nothing was kept for %s", took)
		}

		from, to := io.Pipe() // of which nothing comes
		req, err := http.NewRequestWithContext(t.Context(), "PUT", "http://node/v1/backup", from)
		if err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		if stalled, err := onPipe(t, node).Do(req); err == nil && stalled.StatusCode == 200 {
			t.Errorf("got %d", stalled.StatusCode)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("a client that sends nothing was kept for %s", took)
		}
		_ = to.Close()
	})
}

type writerTo func(io.Writer) (int64, error)

func (f writerTo) WriteTo(w io.Writer) (int64, error) { return f(w) }

func TestBackupsAreDescribed(t *testing.T) {
	answer := do(t, serverhttp.New(serverhttp.Config{Node: newFake()}).Handler(), "GET", "/openapi.json", "")
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string         `json:"operationId"`
			Responses   map[string]any `json:"responses"`
		}
	}
	if err := json.NewDecoder(bytes.NewReader([]byte(text(t, answer)))).Decode(&document); err != nil {
		t.Fatal(err)
	}
	for method, id := range map[string]string{"get": "backup", "put": "restore"} {
		op := document.Paths["/v1/backup"][method]
		if op.OperationID != id || op.Responses["200"] == nil || op.Responses["default"] == nil {
			t.Errorf("%s: got %+v", method, op)
		}
	}
}
