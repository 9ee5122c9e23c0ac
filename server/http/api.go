package http

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// maxBody bounds the body of a JSON call.
const maxBody = 64 << 10

// calls adds everything under /v1, and the description that all of it is made
// from, to the mux.
func (s *Server) calls(mux *http.ServeMux) {
	config := huma.DefaultConfig("Huddle", s.cfg.Version)
	config.Info.Description = "A shared backing service that the replicas of a service are themselves: sessions, counters, limits and locks, replicated by Raft, and a cache that is sharded between them. Every call works on every node."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.CreateHooks, config.OpenAPIPath, config.DocsPath, config.SchemasPath = nil, "", "", ""
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{asProblem}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"password": {Type: "http", Scheme: "bearer", Description: "HUDDLE_PASSWORD, where one is set"},
	}
	config.Security = []map[string][]string{{"password": {}}, {}}
	api := humago.New(mux, config)
	for _, add := range s.groups() {
		add(api)
	}
	mux.Handle("GET /openapi.json", describe(api))
}

// groups are the functions that register the calls of one feature each.
func (s *Server) groups() []func(huma.API) {
	return []func(huma.API){
		s.sessionCalls, s.counterCalls, s.limitCalls, s.lockCalls, s.cacheCalls, s.clusterCalls, s.backupCalls,
	}
}

// describe serves the description of all calls, which does not change.
func describe(api huma.API) http.Handler {
	document, err := json.MarshalIndent(api.OpenAPI(), "", " ")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err != nil {
			writeProblem(w, fmt.Errorf("describing the calls: %w", err))
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(document) // the client has gone where this fails
	})
}

// unlabelled takes the media type away from bodies that have that of a form:
// curl calls so whatever it is given. A page of another origin was refused
// before.
func unlabelled(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "application/x-www-form-urlencoded" {
			r.Header.Del("Content-Type")
		}
		next.ServeHTTP(w, r)
	})
}

// noStore keeps answers, which are true now only, out of caches.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
