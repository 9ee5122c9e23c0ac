package http

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/huddlecache/huddle/cache"
)

// maxLoaderTime bounds the times of a loader.
const maxLoaderTime = 10 * 365 * 24 * time.Hour

// loaderCalls registers the calls of loaders over HTTP.
func (s *Server) loaderCalls(api huma.API) {
	tags := []string{"cache"}
	reading := []int{http.StatusBadRequest, http.StatusUnauthorized}
	huma.Register(api, huma.Operation{
		OperationID: "put-cache-loader", Method: http.MethodPut, Path: cachePath, Tags: tags, DefaultStatus: http.StatusNoContent,
		Errors:       append(slices.Clip(reading), http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage),
		MaxBodyBytes: maxBody,
		Summary:      "Has the values of a group fetched from an application",
		Description:  "On all nodes, by one of them for all: GET loader/key, or with {key} in the URL what that makes. The answer's Cache-Control goes before the times here, and its Surrogate-Key or Cache-Tag are tags. An empty loader ends it. Once it is answered no node serves what another URL has brought.",
	}, s.putLoader)
	huma.Register(api, huma.Operation{
		OperationID: "get-cache-loader", Method: http.MethodGet, Path: cachePath, Tags: tags,
		Errors:      append(slices.Clip(reading), http.StatusNotFound),
		Summary:     "Returns from where a group's values are fetched",
		Description: "As this node knows it, by PUT on any node or by its own HUDDLE_CACHE_LOADERS.",
	}, s.getLoader)
}

// A CacheLoader says from where a group's values are fetched.
type CacheLoader struct {
	Loader   string `json:"loader" doc:"URL of http or https, empty for none"`
	TTL      string `json:"ttl,omitempty" doc:"of values whose answers say nothing of it; 1m"`
	Stale    string `json:"stale,omitempty" doc:"how long after that a value is still served while it is fetched anew; not at all"`
	Negative string `json:"negative,omitempty" doc:"how long it is remembered that there is none; not at all"`
}

func (s *Server) putLoader(ctx context.Context, in *struct {
	strictQuery
	CacheGroup
	Body CacheLoader
},
) (*struct{}, error) {
	loader := cache.HTTPLoader{URL: in.Body.Loader}
	for _, field := range []struct {
		name, text string
		to         *time.Duration
	}{
		{"ttl", in.Body.TTL, &loader.TTL},
		{"stale", in.Body.Stale, &loader.Stale},
		{"negative", in.Body.Negative, &loader.Negative},
	} {
		var err error
		if *field.to, err = cacheTime(field.name, field.text, maxLoaderTime); err != nil {
			return nil, problemOf(err)
		}
	}
	return nil, problemOrNil(s.cfg.Cache.SetLoader(ctx, in.Group, loader))
}

func (s *Server) getLoader(_ context.Context, in *struct {
	strictQuery
	CacheGroup
},
) (*struct{ Body CacheLoader }, error) {
	l, found := s.cfg.Cache.HTTPLoader(in.Group)
	if !found {
		return nil, problemOf(fmt.Errorf("the group has no loader: %w", errNotFound))
	}
	text := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return d.String()
	}
	return &struct{ Body CacheLoader }{CacheLoader{l.URL, text(l.TTL), text(l.Stale), text(l.Negative)}}, nil
}

// loops reports whether a loader asks for a value that it is to make itself:
// it would wait for its own answer.
func (s *Server) loops(group, via string) bool {
	if !cache.IsLoaderRequest(via) {
		return false
	}
	_, found := s.cfg.Cache.HTTPLoader(group)
	return found
}

// typed gives a value the media type that an application said. A browser that
// opens it here runs nothing of it.
func (out *cached) typed(mediaType string) {
	if mediaType != "" {
		out.ContentType, out.Policy = mediaType, "default-src 'none'; sandbox"
	}
}
