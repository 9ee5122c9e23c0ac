package http

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/huddlecache/huddle/sessions"
)

// maxIdem bounds an Idempotency-Key, in bytes.
const maxIdem = 256

// sessionsPath is where sessions are.
const sessionsPath = "/v1/sessions"

// sessionCalls registers the calls of sessions.
func (s *Server) sessionCalls(api huma.API) {
	const one = sessionsPath + "/{id}"
	tags := []string{"sessions"}
	reading := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusServiceUnavailable}
	writing := append(slices.Clip(reading), http.StatusUnprocessableEntity, http.StatusGatewayTimeout)
	storing := append(slices.Clip(writing), http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusInsufficientStorage)

	saving := &huma.RequestBody{Description: "the session, any bytes"}
	huma.Register(api, huma.Operation{
		OperationID: "save-session", Method: http.MethodPut, Path: one, Tags: tags, Errors: storing,
		RequestBody: saving, MaxBodyBytes: int64(s.cfg.MaxValue) + 1,
		Summary:     "Saves a session",
		Description: "Its idle time begins anew. What is not given stays as it was; a new session lasts a day. The absolute limit never moves away: a later one than the session has is not taken.",
	}, s.saveSession)
	saving.Required = false // it may be empty

	huma.Register(api, huma.Operation{
		OperationID: "merge-session", Method: http.MethodPatch, Path: one, Tags: tags, Errors: append(slices.Clip(storing), http.StatusConflict),
		MaxBodyBytes: int64(s.cfg.MaxValue) + 1,
		Summary:      "Changes some fields of a session that is a JSON object",
		Description:  "The body is a JSON merge patch (RFC 7396). Two patches of different fields both last, whatever node they come to. Where there is no session the patch makes one; If-Match: * keeps it from that.",
	}, s.mergeSession)

	huma.Register(api, huma.Operation{
		OperationID: "load-session", Method: http.MethodGet, Path: one, Tags: tags, Errors: append(slices.Clip(reading), http.StatusNotFound),
		Summary:     "Returns a session's bytes",
		Description: "It sees every save and logout answered before. With Huddle-Index it is answered from this node's replica, once that has reached the index; so it works without a quorum too. With touch=true the session's time begins anew. Where that is not possible the session is answered all the same, with Huddle-Touched: false.",
	}, s.loadSession)

	huma.Register(api, huma.Operation{
		OperationID: "destroy-session", Method: http.MethodDelete, Path: one, Tags: tags, Errors: writing, DefaultStatus: http.StatusNoContent,
		Summary: "Ends a session; that there is none is no error",
	}, s.destroySession)

	huma.Register(api, huma.Operation{
		OperationID: "list-sessions", Method: http.MethodGet, Path: sessionsPath, Tags: tags, Errors: reading,
		Summary: "Lists the sessions of a user",
	}, s.listSessions)

	huma.Register(api, huma.Operation{
		OperationID: "destroy-sessions", Method: http.MethodDelete, Path: sessionsPath, Tags: tags, Errors: writing,
		Summary:     "Ends all sessions of a user",
		Description: "Once it is answered no read on any node finds one of them, unless it is one from a replica that is not behind the Huddle-Index of this answer.",
	}, s.destroySessions)
}

// A strictQuery refuses a query that is not properly escaped, of which huma
// would take a part for missing.
type strictQuery struct{}

// Resolve implements huma.Resolver.
func (strictQuery) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return []error{huma.Error400BadRequest("the query is malformed: " + err.Error())}
	}
	return nil
}

// A SessionID names a session. It is exported, as are the other parts of
// calls, because huma sees nothing else.
type SessionID struct {
	strictQuery
	ID string `path:"id" doc:"1 to 512 bytes, percent-encoded; one that is a single slash cannot be named in a path"`
}

// A SessionUser names a user.
type SessionUser struct {
	strictQuery
	User string `query:"user" required:"true" doc:"1 to 512 bytes, percent-encoded"`
}

// A SessionRetry makes a retry take effect once.
type SessionRetry struct {
	Key string `header:"Idempotency-Key" doc:"a retry with the same key takes effect once, within ten minutes; up to 256 bytes"`
}

func (i SessionRetry) check() error {
	if len(i.Key) > maxIdem {
		return fmt.Errorf("%w: Idempotency-Key has %d bytes, at most %d are taken", errMalformed, len(i.Key), maxIdem)
	}
	return nil
}

// SessionOptions are the parameters of saving and merging.
type SessionOptions struct {
	SessionRetry
	TTL         string `query:"ttl" doc:"idle time, such as 30m"`
	Absolute    string `query:"absolute" doc:"absolute limit, counted from now, such as 12h"`
	User        string `query:"user" doc:"whose session it is, up to 512 bytes"`
	IfMatch     string `header:"If-Match" doc:"save only over this version, as in ETag; * where there is any"`
	IfNoneMatch string `header:"If-None-Match" doc:"*: save only where there is none"`
}

// read makes options of the parameters.
func (p *SessionOptions) read() (o sessions.SaveOptions, err error) {
	if err = p.check(); err != nil {
		return o, err
	}
	o.User, o.Idem = p.User, p.Key
	if o.TTL, err = readTime("ttl", p.TTL); err != nil {
		return o, err
	}
	if o.Limit, err = readTime("absolute", p.Absolute); err != nil {
		return o, err
	}
	switch {
	case p.IfMatch != "" && p.IfNoneMatch != "":
		return o, fmt.Errorf("%w: If-Match and If-None-Match together", errMalformed)
	case p.IfNoneMatch == "*":
		o.If = sessions.Absent()
	case p.IfNoneMatch != "":
		return o, fmt.Errorf("%w: If-None-Match can only be *", errMalformed)
	case p.IfMatch == "*":
		o.If = sessions.Present()
	case p.IfMatch != "":
		o.If = sessions.AtVersion(versionOf(p.IfMatch))
	}
	return o, nil
}

// versionOf returns the version of an ETag. One that is none of ours is that
// of no session.
func versionOf(tag string) uint64 {
	version, err := strconv.ParseUint(strings.Trim(tag, `"`), 10, 64)
	if err != nil || version == 0 {
		return math.MaxUint64
	}
	return version
}

func readTime(name, value string) (time.Duration, error) {
	if value == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 || d > sessions.MaxTTL {
		return 0, fmt.Errorf("%w: %s=%.40q is no time above zero and up to %s, such as 30m", errMalformed, name, value, sessions.MaxTTL)
	}
	return d, nil
}

// sessionSaved is the answer to saving and merging.
type sessionSaved struct {
	ETag  string `header:"ETag"`
	Index string `header:"Huddle-Index"`
	Body  struct {
		Version uint64 `json:"version" doc:"as in ETag"`
	}
}

func (s *Server) saveSession(ctx context.Context, in *struct {
	SessionID
	SessionOptions
	RawBody []byte
},
) (*sessionSaved, error) {
	o, err := in.read()
	if err != nil {
		return nil, problemOf(err)
	}
	return savedSession(s.cfg.Sessions.Save(ctx, in.ID, in.RawBody, o))
}

func (s *Server) mergeSession(ctx context.Context, in *struct {
	SessionID
	SessionOptions
	RawBody []byte `contentType:"application/merge-patch+json"`
},
) (*sessionSaved, error) {
	o, err := in.read()
	if err != nil {
		return nil, problemOf(err)
	}
	return savedSession(s.cfg.Sessions.Merge(ctx, in.ID, in.RawBody, o))
}

func savedSession(saved sessions.Saved, err error) (*sessionSaved, error) {
	if err != nil {
		return nil, problemAt(err, saved.At)
	}
	out := &sessionSaved{ETag: etag(saved.Version), Index: saved.At.String()}
	out.Body.Version = saved.Version
	return out, nil
}

func etag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

// sessionLoaded is the answer to loading.
type sessionLoaded struct {
	ContentType string `header:"Content-Type"`
	Sniff       string `header:"X-Content-Type-Options"`
	ETag        string `header:"ETag"`
	Index       string `header:"Huddle-Index"`
	Touched     string `header:"Huddle-Touched" doc:"with touch=true only: false where that was not possible"`
	Body        []byte
}

func (s *Server) loadSession(ctx context.Context, in *struct {
	SessionID
	Touch bool   `query:"touch" doc:"begin the session's time anew"`
	Index string `header:"Huddle-Index" doc:"of an earlier answer, by whatever node: read from this node's replica, once it has reached that"`
},
) (*sessionLoaded, error) {
	behind, err := sessions.ParsePosition(in.Index)
	if err != nil {
		return nil, problemOf(err)
	}
	got, err := s.cfg.Sessions.Load(ctx, in.ID, sessions.LoadOptions{Consistency: behind.Consistency(), Touch: in.Touch})
	if err != nil {
		return nil, problemAt(err, got.At)
	}
	out := &sessionLoaded{
		ContentType: "application/octet-stream", Sniff: "nosniff",
		ETag: etag(got.Version), Index: got.At.String(), Body: got.Data,
	}
	if in.Touch {
		out.Touched = strconv.FormatBool(got.TouchErr == nil)
	}
	return out, nil
}

// sessionIndex is an answer without a body.
type sessionIndex struct {
	Index string `header:"Huddle-Index"`
}

func (s *Server) destroySession(ctx context.Context, in *struct {
	SessionID
	SessionRetry
},
) (*sessionIndex, error) {
	if err := in.check(); err != nil {
		return nil, problemOf(err)
	}
	gone, err := s.cfg.Sessions.Destroy(ctx, in.ID, sessions.DestroyOptions{Idem: in.Key})
	if err != nil {
		return nil, problemAt(err, gone.At)
	}
	return &sessionIndex{gone.At.String()}, nil
}

// sessionsGone is the answer to destroying all of a user.
type sessionsGone struct {
	Index string `header:"Huddle-Index"`
	Body  struct {
		Destroyed int `json:"destroyed" doc:"how many there were"`
	}
}

func (s *Server) destroySessions(ctx context.Context, in *struct {
	SessionUser
	SessionRetry
},
) (*sessionsGone, error) {
	if err := in.check(); err != nil {
		return nil, problemOf(err)
	}
	gone, err := s.cfg.Sessions.DestroyAll(ctx, in.User, sessions.DestroyOptions{Idem: in.Key})
	if err != nil {
		return nil, problemAt(err, gone.At)
	}
	out := &sessionsGone{Index: gone.At.String()}
	out.Body.Destroyed = gone.Count
	return out, nil
}

// sessionsListed is the answer to listing.
type sessionsListed struct {
	Index string `header:"Huddle-Index"`
	Body  struct {
		Sessions []listedSession `json:"sessions" doc:"in the order of their IDs"`
	}
}

// A listedSession is one of a user.
type listedSession struct {
	ID   string `json:"id" doc:"bytes that are not UTF-8 are shown as U+FFFD"`
	Path string `json:"path" doc:"where the session is, exactly"`
}

func (s *Server) listSessions(ctx context.Context, in *struct {
	SessionUser
	Index string `header:"Huddle-Index" doc:"as for a session"`
},
) (*sessionsListed, error) {
	behind, err := sessions.ParsePosition(in.Index)
	if err != nil {
		return nil, problemOf(err)
	}
	list, err := s.cfg.Sessions.List(ctx, in.User, behind.Consistency())
	if err != nil {
		return nil, problemAt(err, list.At)
	}
	out := &sessionsListed{Index: list.At.String()}
	out.Body.Sessions = make([]listedSession, 0, len(list.IDs))
	for _, id := range list.IDs {
		// A dot is escaped where it would be taken for a directory.
		path := url.PathEscape(id)
		if id == "." || id == ".." {
			path = strings.ReplaceAll(id, ".", "%2E")
		}
		out.Body.Sessions = append(out.Body.Sessions, listedSession{ID: id, Path: sessionsPath + "/" + path})
	}
	return out, nil
}

// A positionedProblem tells how far was seen, where the cluster has answered.
type positionedProblem struct {
	*problem
	at sessions.Position
}

// GetHeaders implements huma.HeadersError.
func (p *positionedProblem) GetHeaders() http.Header {
	headers := p.problem.GetHeaders()
	if headers == nil {
		headers = http.Header{}
	}
	headers.Set("Huddle-Index", p.at.String())
	return headers
}

// problemAt is problemOf with the position of the answer.
func problemAt(err error, at sessions.Position) error {
	p := problemOf(err)
	if errors.Is(err, sessions.ErrInvalid) || at == (sessions.Position{}) {
		return p
	}
	return &positionedProblem{p, at}
}
