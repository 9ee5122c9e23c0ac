package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/counters"
	"github.com/huddlecache/huddle/locks"
	"github.com/huddlecache/huddle/sessions"
)

// problemBase is what every problem's type begins with. Clients compare the
// last segment.
const problemBase = "https://github.com/huddlecache/huddle/problems/"

// Errors of calls that never reach the node.
var (
	errNotFound     = errors.New("there is nothing at this path")
	errUnauthorized = errors.New("send the password: Authorization: Bearer PASSWORD")
	errMalformed    = errors.New("malformed request")
	errCrossOrigin  = errors.New("refused: the call comes from a page of another origin")
	errMethod       = errors.New("method not allowed")
	errLoop         = errors.New("a loader of the cache leads here, to the group that it is of")
)

// problemKinds is the only place where an error becomes a status. The first
// entry that the error wraps is taken.
//
// 503 promises that nothing was applied and nothing will be, so that the call
// may be sent again; 504 promises nothing.
func problemKinds() []problemKind {
	return []problemKind{
		{cache.ErrNotFound, http.StatusNotFound, "not-found", "Not found"},
		{cache.ErrConflict, http.StatusConflict, "not-kept", "The value is not kept"},
		{cache.ErrTooBig, http.StatusRequestEntityTooLarge, "too-big", "Too big"},
		{cache.ErrInvalid, http.StatusBadRequest, "malformed", "Malformed request"},
		{cache.ErrLoader, http.StatusBadGateway, "origin-failed", "The application has not given the value"},
		{errLoop, http.StatusLoopDetected, "loop", "A loader asks for what it is to make"},
		{machine.ErrUnknown, http.StatusGatewayTimeout, "unknown", "The outcome is unknown"},
		{machine.ErrNoQuorum, http.StatusServiceUnavailable, "no-quorum", "A majority of the voters cannot be reached"},
		{machine.ErrOverloaded, http.StatusServiceUnavailable, "overloaded", "Too much waits already"},
		{machine.ErrLoading, http.StatusServiceUnavailable, "loading", "This node is joining"},
		{machine.ErrFull, http.StatusInsufficientStorage, "state-full", "The replicated state is full"},
		{machine.ErrTooBig, http.StatusRequestEntityTooLarge, "too-big", "Too big"},
		{machine.ErrReused, http.StatusUnprocessableEntity, "idempotency-key-reused", "The idempotency key was used before"},
		{errUnauthorized, http.StatusUnauthorized, "unauthorized", "A password is needed"},
		{errCrossOrigin, http.StatusForbidden, "cross-origin", "Refused"},
		{errNotFound, http.StatusNotFound, "not-found", "Not found"},
		{cluster.ErrNotMember, http.StatusNotFound, "not-found", "Not found"},
		{sessions.ErrNotFound, http.StatusNotFound, "not-found", "Not found"},
		{errMethod, http.StatusMethodNotAllowed, "method-not-allowed", "Method not allowed"},
		{cluster.ErrDamaged, http.StatusUnprocessableEntity, "backup-damaged", "The backup is damaged"},
		{cluster.ErrNewer, http.StatusUnprocessableEntity, "backup-newer", "The backup is of a newer release"},
		{sessions.ErrNotObject, http.StatusConflict, "not-an-object", "The session is no JSON object"},
		{sessions.ErrConflict, http.StatusPreconditionFailed, "version-mismatch", "The session is at another version"},
		{cluster.ErrRefused, http.StatusConflict, "refused", "Refused as things are"},
		{locks.ErrClosed, http.StatusServiceUnavailable, "stopping", "This node is stopping"},
		{locks.ErrLost, http.StatusConflict, "lock-lost", "The lease is not held"},
		{locks.ErrNotAcquired, http.StatusConflict, "lock-held", "Others have the lock"},
		{counters.ErrOverflow, http.StatusConflict, "overflow", "The counter would overflow"},
		{counters.ErrInvalid, http.StatusBadRequest, "malformed", "Malformed request"},
		{locks.ErrInvalid, http.StatusBadRequest, "malformed", "Malformed request"},
		{sessions.ErrPatch, http.StatusBadRequest, "malformed", "Malformed request"},
		{sessions.ErrInvalid, http.StatusBadRequest, "malformed", "Malformed request"},
		{errMalformed, http.StatusBadRequest, "malformed", "Malformed request"},
	}
}

// A problemKind is one line of the table.
type problemKind struct {
	err    error
	status int
	name   string // last segment of the type
	title  string
}

// internalProblem is what an error becomes that is not in the table.
func internalProblem() problemKind {
	return problemKind{nil, http.StatusInternalServerError, "internal", "Something went wrong in this node"}
}

// A reportedError is an error with what was found out on the way to it.
type reportedError struct {
	error
	report string
}

func (e *reportedError) Unwrap() error { return e.error }

// A problem is an RFC 9457 problem document. It is the error that the
// handlers of the API return (see problemOf).
type problem struct {
	Type   string              `json:"type"`
	Title  string              `json:"title"`
	Status int                 `json:"status"`
	Detail string              `json:"detail,omitempty"`
	Report string              `json:"report,omitempty"` // see reportedError
	Errors []*huma.ErrorDetail `json:"errors,omitempty"` // what is wrong with a request, part by part
}

const problemType = "application/problem+json"

// Error implements error.
func (p *problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header {
	switch p.Status {
	case http.StatusServiceUnavailable:
		return http.Header{"Retry-After": {"1"}}
	case http.StatusUnauthorized:
		return http.Header{"Www-Authenticate": {`Bearer realm="huddle"`}}
	}
	return nil
}

// problemOf is the problem that err is.
func problemOf(err error) *problem {
	kind := kindOf(err)
	p := &problem{Type: problemBase + kind.name, Title: kind.title, Status: kind.status, Detail: err.Error()}
	if reported, found := errors.AsType[*reportedError](err); found {
		p.Report = reported.report
	}
	return p
}

// asProblem gives what huma itself says of a request the form of all others.
func asProblem(_ huma.Context, _ string, body any) (any, error) {
	wrong, isModel := body.(*huma.ErrorModel)
	if !isModel {
		return body, nil
	}
	p := &problem{Type: problemBase + "malformed", Title: wrong.Title, Status: wrong.Status, Detail: wrong.Detail, Errors: wrong.Errors}
	switch wrong.Status {
	case http.StatusRequestEntityTooLarge:
		p.Type = problemBase + "too-big"
	case http.StatusUnsupportedMediaType:
		p.Type = problemBase + "unsupported-media-type"
	case http.StatusRequestTimeout:
		p.Type = problemBase + "timeout"
	case http.StatusInternalServerError:
		p.Type = problemBase + "internal"
	}
	return p, nil
}

// writeProblem answers with the problem that err is.
func writeProblem(w http.ResponseWriter, err error) {
	p := problemOf(err)
	header := w.Header()
	header.Set("Content-Type", problemType)
	header.Set("Cache-Control", "no-store")
	maps.Copy(header, p.GetHeaders())
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client has gone where this fails
}

func kindOf(err error) problemKind {
	if tooLong, found := errors.AsType[*http.MaxBytesError](err); found {
		err = fmt.Errorf("the body is longer than %d bytes: %w", tooLong.Limit, machine.ErrTooBig)
	}
	for _, kind := range problemKinds() {
		if errors.Is(err, kind.err) {
			return kind
		}
	}
	return internalProblem()
}
