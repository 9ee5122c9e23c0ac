package http

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/huddlecache/huddle/cluster"
)

// stallTimeout is how long a backup may stand still on its way from or to a
// client. A client that has stalled would keep a frozen state in memory.
const stallTimeout = 30 * time.Second

const typeBackup = "application/octet-stream"

// backupCalls registers the two calls whose bodies are as large as the state.
func (s *Server) backupCalls(api huma.API) {
	tags := []string{"cluster"}
	file := map[string]*huma.MediaType{typeBackup: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
	restored := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[cluster.Restored](), true, "Restored")
	problems := &huma.Response{Description: "Error", Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[problem](), true, "Problem")},
	}}
	stream(api, &huma.Operation{
		OperationID: "backup", Method: http.MethodGet, Path: "/v1/backup", Tags: tags,
		Summary:     "A consistent snapshot of the replicated state",
		Description: "It holds everything that was acknowledged before the call, and ends with a SHA-256 of itself.",
		Responses:   map[string]*huma.Response{"200": {Description: "The backup", Content: file}, "default": problems},
	}, s.backup)
	stream(api, &huma.Operation{
		OperationID: "restore", Method: http.MethodPut, Path: "/v1/backup", Tags: tags,
		Summary:     "Replaces the replicated state by a backup, on all nodes at once",
		Description: "The backup is checked before anything changes. It may be of another cluster. A restore can be repeated.",
		RequestBody: &huma.RequestBody{Required: true, Description: "What GET /v1/backup answered", Content: file},
		Responses: map[string]*huma.Response{
			"200":     {Description: "Restored", Content: map[string]*huma.MediaType{"application/json": {Schema: restored}}},
			"default": problems,
		},
	}, s.restore)
}

// stream registers a call that reads its body, or writes its answer, piece by
// piece.
func stream(api huma.API, op *huma.Operation, call http.HandlerFunc) {
	api.OpenAPI().AddOperation(op)
	api.Adapter().Handle(op, func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		call(w, r)
	})
}

// backup answers with the backup. An error in the middle of it breaks the
// connection off, which is the only way to say so then.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	b, err := s.cfg.Node.Backup(r.Context())
	if err != nil {
		writeProblem(w, err)
		return
	}
	header := w.Header()
	header.Set("Content-Type", typeBackup)
	header.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="huddle-%s-%d.backup"`, b.Cluster, b.Index))
	header.Set("Huddle-Index", fmt.Sprintf("%s-%d", b.Cluster, b.Index))
	if _, err := b.WriteTo(newPatient(w, r)); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) restore(w http.ResponseWriter, r *http.Request) {
	p := newPatient(w, r)
	restored, err := s.cfg.Node.Restore(r.Context(), p)
	p.answer()
	if err != nil {
		writeProblem(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(restored) // the client has gone where this fails
}

// A patient connection has no limit on the whole of a request or answer, which
// takes as long as it is large, but one on each step of it.
type patient struct {
	to      io.Writer
	from    io.Reader
	control *http.ResponseController
}

func newPatient(w http.ResponseWriter, r *http.Request) *patient {
	return &patient{to: w, from: r.Body, control: http.NewResponseController(w)}
}

// limit sets the deadlines. A writer that has none, as in tests, needs none.
func (p *patient) limit(read, write time.Time) {
	_ = p.control.SetReadDeadline(read)
	_ = p.control.SetWriteDeadline(write)
}

// Read implements io.Reader with the body of the request. How long the answer
// takes is not limited by it: at the body's end, the server takes the limit of
// reading away.
func (p *patient) Read(b []byte) (int, error) {
	p.limit(time.Now().Add(stallTimeout), time.Time{})
	return p.from.Read(b)
}

// Write implements io.Writer with the answer.
func (p *patient) Write(b []byte) (int, error) {
	p.limit(time.Time{}, time.Now().Add(stallTimeout))
	return p.to.Write(b)
}

// answer limits the writing of an answer that is short.
func (p *patient) answer() { p.limit(time.Time{}, time.Now().Add(writeTimeout)) }
