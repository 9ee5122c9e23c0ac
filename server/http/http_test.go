package http_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/machine"
	serverhttp "github.com/huddlecache/huddle/server/http"
	"github.com/huddlecache/huddle/server/redis"
)

// A fakeNode answers what a test wants, and remembers what it was asked.
type fakeNode struct {
	ready, stopped, failure error
	note                    string
	status                  cluster.Status
	recovered               []cluster.RecoverOptions
	forgotten               []string
	fakeBackups
}

func (n *fakeNode) Ready() error                          { return n.ready }
func (n *fakeNode) Note() string                          { return n.note }
func (n *fakeNode) Err() error                            { return n.stopped }
func (n *fakeNode) Status(context.Context) cluster.Status { return n.status }

func (n *fakeNode) Recover(_ context.Context, o cluster.RecoverOptions) (string, error) {
	n.recovered = append(n.recovered, o)
	return "node-1 would become the seed", n.failure
}

func (n *fakeNode) Forget(_ context.Context, id string) error {
	n.forgotten = append(n.forgotten, id)
	return n.failure
}

func newFake() *fakeNode {
	return &fakeNode{status: cluster.Status{
		Cluster: "5f0c", Node: "a1", Leader: "a1", Term: 3, Index: 812, Quorum: true, Problems: []string{},
		Members: []cluster.Member{{ID: "a1", Name: "pod-0", Address: "10.1.2.3:7947", Role: cluster.RoleLeader, State: cluster.StateAlive, Index: 812, Version: "0.1.0"}},
	}}
}

// do sends one request to the handler. Headers are "Name: value".
func do(t *testing.T, h http.Handler, method, target, body string, headers ...string) *http.Response {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, req)
	return recorder.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

const jsonBody = "Content-Type: application/json"

func TestProbes(t *testing.T) {
	errJoining := errors.New("joining: not part of a cluster yet")
	tests := []struct {
		name, path string
		node       fakeNode
		status     int
		body       string
	}{
		{"live", "/livez", fakeNode{}, 200, "ok\n"},
		{"live while not ready", "/livez", fakeNode{ready: errJoining}, 200, "ok\n"},
		{"stopped", "/livez", fakeNode{stopped: machine.ErrUnknownCommand}, 503, "stopped: " + machine.ErrUnknownCommand.Error() + "\n"},
		{"ready", "/readyz", fakeNode{}, 200, "ready\n"},
		{"not ready", "/readyz", fakeNode{ready: errJoining}, 503, "not ready: joining: not part of a cluster yet\n"},
		{"ready without a quorum", "/readyz", fakeNode{note: "no quorum: 1 of 3 voters"}, 200, "ready, but no quorum: 1 of 3 voters\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := serverhttp.New(serverhttp.Config{Node: &test.node, Password: "secret"})
			for name, handler := range map[string]http.Handler{"API": server.Handler(), "health": server.Health()} {
				answer := do(t, handler, "GET", test.path, "")
				if got := text(t, answer); answer.StatusCode != test.status || got != test.body {
					t.Errorf("%s: got %d %q, want %d %q", name, answer.StatusCode, got, test.status, test.body)
				}
			}
		})
	}
}

func TestStatusIsWhatTheNodeSays(t *testing.T) {
	node := newFake()
	answer := do(t, serverhttp.New(serverhttp.Config{Node: node}).Handler(), "GET", "/v1/cluster", "")
	var got cluster.Status
	if err := json.Unmarshal([]byte(text(t, answer)), &got); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(node.status) || answer.StatusCode != 200 {
		t.Errorf("got %d %v, want 200 %v", answer.StatusCode, got, node.status)
	}
}

func TestRecoverPassesItsOptionsOn(t *testing.T) {
	tests := []struct {
		body string
		want cluster.RecoverOptions
	}{
		{``, cluster.RecoverOptions{}},
		{`{}`, cluster.RecoverOptions{}},
		{`{"dry_run":true}`, cluster.RecoverOptions{DryRun: true}},
		{`{"dry_run":false,"force":true}`, cluster.RecoverOptions{Force: true}},
	}
	for _, kind := range []string{"", "Content-Type: application/x-www-form-urlencoded"} { // as curl -d says
		node := newFake()
		do(t, serverhttp.New(serverhttp.Config{Node: node}).Handler(), "POST", "/v1/cluster/recover", `{"dry_run":true}`, kind)
		if len(node.recovered) != 1 || !node.recovered[0].DryRun {
			t.Errorf("%q: the node was told %v, want a dry run", kind, node.recovered)
		}
	}
	for _, test := range tests {
		node := newFake()
		answer := do(t, serverhttp.New(serverhttp.Config{Node: node}).Handler(), "POST", "/v1/cluster/recover", test.body, jsonBody)
		if got, want := text(t, answer), `{"report":"node-1 would become the seed"}`+"\n"; got != want {
			t.Errorf("%s: got %q, want %q", test.body, got, want)
		}
		if len(node.recovered) != 1 || node.recovered[0] != test.want {
			t.Errorf("%s: the node was told %v, want %v", test.body, node.recovered, test.want)
		}
	}
}

func TestARefusedRecoveryReportsAllTheSame(t *testing.T) {
	node := newFake()
	node.failure = cluster.ErrRefused
	answer := do(t, serverhttp.New(serverhttp.Config{Node: node}).Handler(), "POST", "/v1/cluster/recover", "")
	if got := text(t, answer); answer.StatusCode != 409 || !strings.Contains(got, `"report":"node-1 would become the seed"`) {
		t.Errorf("got %d %s, want 409 with the report", answer.StatusCode, got)
	}
}

func TestForget(t *testing.T) {
	node := newFake()
	answer := do(t, serverhttp.New(serverhttp.Config{Node: node}).Handler(), "DELETE", "/v1/cluster/members/a%2F1", "")
	if answer.StatusCode != http.StatusNoContent || len(node.forgotten) != 1 || node.forgotten[0] != "a/1" {
		t.Errorf("got %d and forgot %q, want 204 and a/1", answer.StatusCode, node.forgotten)
	}
}

func TestErrorsAreProblems(t *testing.T) {
	tests := []struct {
		err    error
		status int
		kind   string
	}{
		{machine.ErrNoQuorum, 503, "/no-quorum"},
		{machine.ErrOverloaded, 503, "/overloaded"},
		{machine.ErrLoading, 503, "/loading"},
		{machine.ErrUnknown, 504, "/unknown"},
		{machine.ErrFull, 507, "/state-full"},
		{machine.ErrTooBig, 413, "/too-big"},
		{machine.ErrReused, 422, "/idempotency-key-reused"},
		{cluster.ErrNotMember, 404, "/not-found"},
		{cluster.ErrRefused, 409, "/refused"},
		{errors.New("a bug"), 500, "/internal"},
		// What may have been applied is never said not to be.
		{fmt.Errorf("%w: %w", machine.ErrNoQuorum, machine.ErrUnknown), 504, "/unknown"},
	}
	for _, test := range tests {
		node := newFake()
		node.failure = fmt.Errorf("forgetting: %w", test.err)
		answer := do(t, serverhttp.New(serverhttp.Config{Node: node}).Handler(), "DELETE", "/v1/cluster/members/x", "")
		checkProblem(t, test.err.Error(), answer, test.status, test.kind)
		if got, want := answer.Header.Get("Retry-After") != "", test.status == 503; got != want {
			t.Errorf("%v: Retry-After is there: %v, want %v", test.err, got, want)
		}
	}
}

func TestWrongCallsAreProblems(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		kind                     string
	}{
		{"unknown path", "GET", "/nothing", "", nil, 404, "/not-found"},
		{"path below a call", "GET", "/v1/cluster/x", "", nil, 404, "/not-found"},
		{"unknown method", "PUT", "/v1/cluster", "", nil, 405, "/method-not-allowed"},
		{"not JSON", "POST", "/v1/cluster/recover", "{", []string{jsonBody}, 400, "/malformed"},
		{"unknown field", "POST", "/v1/cluster/recover", `{"dry":true}`, []string{jsonBody}, 422, "/malformed"},
		{"two values", "POST", "/v1/cluster/recover", `{}{}`, []string{jsonBody}, 400, "/malformed"},
		{"another media type", "POST", "/v1/cluster/recover", `a=b`, []string{"Content-Type: text/csv"}, 415, "/unsupported-media-type"},
		{"unknown parameter", "POST", "/v1/cluster/recover?dry=true", "", nil, 422, "/malformed"},
		{"too long", "POST", "/v1/cluster/recover", strings.Repeat(" ", 64<<10) + "{}", []string{jsonBody}, 413, "/too-big"},
		{"another site's page", "POST", "/v1/cluster/recover", "", []string{"Sec-Fetch-Site: cross-site"}, 403, "/cross-origin"},
		{"another site's page in an old browser", "POST", "/v1/cluster/recover", "", []string{"Origin: http://evil.example"}, 403, "/cross-origin"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			node := newFake()
			answer := do(t, serverhttp.New(serverhttp.Config{Node: node}).Handler(), test.method, test.path, test.body, test.headers...)
			checkProblem(t, test.name, answer, test.status, test.kind)
			if len(node.recovered) > 0 {
				t.Error("the node was recovered all the same")
			}
		})
	}
}

func TestPassword(t *testing.T) {
	node := newFake()
	handler := serverhttp.New(serverhttp.Config{Node: node, Password: "sesame"}).Handler()
	for _, path := range []string{"/", "/metrics", "/v1/cluster", "/nothing"} {
		for _, header := range []string{"", "Authorization: Bearer sesam", "Authorization: Bearer", "Authorization: Basic sesame", "Authorization: sesame"} {
			answer := do(t, handler, "GET", path, "", header)
			checkProblem(t, path+" "+header, answer, 401, "/unauthorized")
			if got := answer.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
				t.Errorf("%s: got WWW-Authenticate %q, want Bearer", path, got)
			}
		}
	}
	for _, header := range []string{"Authorization: Bearer sesame", "Authorization: bearer  sesame"} {
		if answer := do(t, handler, "GET", "/v1/cluster", "", header); answer.StatusCode != 200 {
			t.Errorf("%s: got %d, want 200", header, answer.StatusCode)
		}
	}
}

func TestHealthServesNothingElse(t *testing.T) {
	handler := serverhttp.New(serverhttp.Config{Node: newFake(), Password: "sesame"}).Health()
	if answer := do(t, handler, "GET", "/metrics", ""); answer.StatusCode != 200 {
		t.Errorf("metrics: got %d, want 200", answer.StatusCode)
	}
	for _, path := range []string{"/", "/v1/cluster", "/v1/cluster/recover"} {
		checkProblem(t, path, do(t, handler, "GET", path, ""), 404, "/not-found")
	}
}

func TestMetrics(t *testing.T) {
	var counters redis.Counters
	counters.Commands.Add(7)
	counters.Unknown.Add(2)
	node := newFake()
	handler := serverhttp.New(serverhttp.Config{Node: node, Redis: &counters, Version: "1.2.3"}).Handler()
	got := text(t, do(t, handler, "GET", "/metrics", ""))
	for _, want := range []string{
		"huddle_build_info{version=\"1.2.3\"} 1\n",
		"huddle_ready 1\n",
		"huddle_quorum 1\n",
		"huddle_leader 1\n",
		"huddle_applied_index 812\n",
		"huddle_members{role=\"leader\",state=\"alive\"} 1\n",
		"huddle_members{role=\"voter\",state=\"dead\"} 0\n",
		"huddle_redis_commands_total 7\n",
		"huddle_redis_errors_total{kind=\"unknown\"} 2\n",
		"# TYPE huddle_redis_commands_total counter\n",
		"go_goroutines ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
}

func TestPageSaysWhatThisIs(t *testing.T) {
	got := text(t, do(t, serverhttp.New(serverhttp.Config{Node: newFake(), Version: "1.2.3"}).Handler(), "GET", "/", ""))
	for _, want := range []string{"Huddle 1.2.3", "a1", "5f0c", "/v1/cluster"} {
		if !strings.Contains(got, want) {
			t.Errorf("page lacks %q: %s", want, got)
		}
	}
}

// checkProblem fails the test unless the answer is the problem document.
func checkProblem(t *testing.T, what string, answer *http.Response, status int, kind string) {
	t.Helper()
	var problem struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal([]byte(text(t, answer)), &problem); err != nil {
		t.Fatalf("%s: got %d and no problem document: %v", what, answer.StatusCode, err)
	}
	if got := answer.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%s: got Content-Type %q, want application/problem+json", what, got)
	}
	if answer.StatusCode != status || problem.Status != status || !strings.HasSuffix(problem.Type, kind) {
		t.Errorf("%s: got %d, %d in the document, type %s; want %d, …%s", what, answer.StatusCode, problem.Status, problem.Type, status, kind)
	}
	if problem.Title == "" || problem.Detail == "" {
		t.Errorf("%s: got title %q and detail %q, want both", what, problem.Title, problem.Detail)
	}
}

func TestTheDescriptionListsEveryCall(t *testing.T) {
	handler := serverhttp.New(serverhttp.Config{Node: newFake()}).Handler()
	answer := do(t, handler, "GET", "/openapi.json", "")
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Summary     string
			Responses   map[string]any
		}
	}
	if err := json.Unmarshal([]byte(text(t, answer)), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Paths) == 0 {
		t.Error("no path is described")
	}
	for path, calls := range document.Paths {
		for method, call := range calls {
			if call.OperationID == "" || call.Summary == "" || len(call.Responses) < 2 {
				t.Errorf("%s %s: got %+v, want an ID, a summary and errors", method, path, call)
			}
		}
	}
}
