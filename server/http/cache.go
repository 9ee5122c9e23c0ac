package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster/machine"
)

const (
	// cachePath is where what is cached is.
	cachePath = "/v1/cache/{group}"
	// maxCacheTime bounds a lease, and the wait for whoever has it.
	maxCacheTime = 10 * time.Minute
)

// cacheCalls registers the calls of the cache.
func (s *Server) cacheCalls(api huma.API) {
	const one = cachePath + "/{key}"
	tags := []string{"cache"}
	reading := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusServiceUnavailable}
	writing := append(slices.Clip(reading), http.StatusGatewayTimeout)

	storing := &huma.RequestBody{Description: "the value, any bytes"}
	huma.Register(api, huma.Operation{
		OperationID: "put-cached", Method: http.MethodPut, Path: one, Tags: tags, DefaultStatus: http.StatusNoContent,
		Errors:      append(slices.Clip(writing), http.StatusConflict, http.StatusRequestEntityTooLarge),
		RequestBody: storing, MaxBodyBytes: int64(s.cfg.MaxValue) + 1,
		Summary:     "Keeps a value",
		Description: "The node that owns the key keeps it, until its time is over, it is invalidated, or its memory is needed. With a Huddle-Lease it is 409 where the lease is over, or the key, the group or one of the tags was invalidated since it was given.",
	}, s.putCached)
	storing.Required = false // it may be empty

	huma.Register(api, huma.Operation{
		OperationID: "get-cached", Method: http.MethodGet, Path: one, Tags: tags, Errors: append(slices.Clip(reading), http.StatusNotFound, http.StatusBadGateway, http.StatusLoopDetected),
		Summary:     "Returns a value's bytes",
		Description: "With lease=5s one caller in the whole cluster is answered 404 with a Huddle-Lease, and has that long to make the value and put it. The others wait for it; whoever has waited in vain is answered 404 without a lease. Without a quorum everything is 404, with Huddle-Cache: no-quorum. Where the group has a loader, that makes what is missing, and nobody gets a lease; 502 where it fails.",
	}, s.getCached)

	huma.Register(api, huma.Operation{
		OperationID: "delete-cached", Method: http.MethodDelete, Path: one, Tags: tags, Errors: writing, DefaultStatus: http.StatusNoContent,
		Summary: "Invalidates a key; that there is nothing is no error",
	}, s.deleteCached)

	huma.Register(api, huma.Operation{
		OperationID: "invalidate-cached", Method: http.MethodPost, Path: cachePath + "/invalidate", Tags: tags, Errors: writing, DefaultStatus: http.StatusNoContent,
		MaxBodyBytes: maxBody,
		Summary:      "Invalidates keys, tags, or all of a group",
		Description:  "Once it is answered no node serves a value that was made before.",
	}, s.invalidateCached)
	s.loaderCalls(api)
}

// A CacheKey names what is cached.
type CacheKey struct {
	strictQuery
	CacheGroup
	Key string `path:"key" doc:"1 to 1024 bytes, percent-encoded"`
}

// A CacheGroup names a group.
type CacheGroup struct {
	Group string `path:"group" doc:"1 to 1024 bytes, percent-encoded"`
}

func (s *Server) putCached(ctx context.Context, in *struct {
	CacheKey
	TTL     string `query:"ttl" doc:"how long it is kept, such as 1m; without it as long as there is room"`
	Tags    string `query:"tags" doc:"comma-separated, by which it can be invalidated"`
	Lease   string `header:"Huddle-Lease" doc:"as a 404 gave it"`
	RawBody []byte
},
) (*struct{}, error) {
	ttl, err := cacheTime("ttl", in.TTL, 0)
	if err != nil {
		return nil, problemOf(err)
	}
	right, err := cache.ParseRight(in.Lease)
	if err != nil {
		return nil, problemOf(err)
	}
	item := cache.Item{Value: bytes.Clone(in.RawBody), TTL: ttl} // the body's memory is the next request's
	if in.Tags != "" {
		item.Tags = strings.Split(in.Tags, ",")
	}
	return nil, problemOrNil(s.cfg.Cache.Put(ctx, in.Group, in.Key, item, right))
}

// cached is the answer to reading.
type cached struct {
	ContentType string `header:"Content-Type"`
	Sniff       string `header:"X-Content-Type-Options"`
	Policy      string `header:"Content-Security-Policy"`
	TTL         string `header:"Huddle-TTL" doc:"what is left of its time, where it has one"`
	Body        []byte
}

func (s *Server) getCached(ctx context.Context, in *struct {
	CacheKey
	Lease string `query:"lease" doc:"how long a lease to make the value is wanted, such as 5s"`
	Wait  string `query:"wait" doc:"how long to wait for whoever has the lease; as long as lease, and a second"`
	Stale bool   `query:"stale" doc:"a value whose time is over will do while another is being made"`
	Via   string `header:"CDN-Loop" doc:"of a loader's request"`
},
) (*cached, error) {
	if s.loops(in.Group, in.Via) {
		return nil, problemOf(errLoop)
	}
	lease, err := cacheTime("lease", in.Lease, maxCacheTime)
	if err != nil {
		return nil, problemOf(err)
	}
	wait, err := cacheTime("wait", in.Wait, maxCacheTime)
	if err != nil {
		return nil, problemOf(err)
	}
	if wait == 0 && lease > 0 {
		wait = lease + time.Second
	}
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	item, right, err := s.cfg.Cache.GetOrClaim(ctx, in.Group, in.Key, lease, in.Stale)
	if err != nil {
		return nil, missing(err, right)
	}
	out := &cached{ContentType: "application/octet-stream", Sniff: "nosniff", Body: item.Value}
	out.typed(item.Type)
	if item.TTL > 0 {
		out.TTL = item.TTL.String()
	}
	return out, nil
}

func (s *Server) deleteCached(ctx context.Context, in *CacheKey) (*struct{}, error) {
	return nil, problemOrNil(s.cfg.Cache.Invalidate(ctx, in.Group, cache.Keys(in.Key)))
}

func (s *Server) invalidateCached(ctx context.Context, in *struct {
	CacheGroup
	Body struct {
		Keys []string `json:"keys,omitempty"`
		Tags []string `json:"tags,omitempty"`
		All  bool     `json:"all,omitempty"`
	}
},
) (*struct{}, error) {
	scope := cache.Scope{All: in.Body.All, Keys: in.Body.Keys, Tags: in.Body.Tags}
	return nil, problemOrNil(s.cfg.Cache.Invalidate(ctx, in.Group, scope))
}

// cacheTime reads a time up to most, if that is set.
func cacheTime(name, value string, most time.Duration) (time.Duration, error) {
	if value == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 || most > 0 && d > most {
		return 0, fmt.Errorf("%w: %s=%.40q is no time above zero, such as 30s", errMalformed, name, value)
	}
	return d, nil
}

func problemOrNil(err error) error {
	if err == nil {
		return nil
	}
	return problemOf(err)
}

// A missingProblem is a miss.
type missingProblem struct {
	*problem
	right    cache.Right
	noQuorum bool
}

// missing is problemOf for a value that was not to be had. Without a quorum
// nothing is known to be good, and that is a miss too: the application makes
// its value.
func missing(err error, right cache.Right) error {
	if !errors.Is(err, machine.ErrNoQuorum) {
		return &missingProblem{problem: problemOf(err), right: right}
	}
	return &missingProblem{problem: problemOf(fmt.Errorf("%w: %w", cache.ErrNotFound, err)), noQuorum: true}
}

// GetHeaders implements huma.HeadersError.
func (p *missingProblem) GetHeaders() http.Header {
	headers := p.problem.GetHeaders()
	if headers == nil {
		headers = http.Header{}
	}
	if p.right.Number != 0 {
		headers.Set("Huddle-Lease", p.right.String())
	}
	if p.noQuorum {
		headers.Set("Huddle-Cache", "no-quorum")
	}
	return headers
}
