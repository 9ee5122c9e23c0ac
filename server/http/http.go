// Package http serves a node over HTTP: health, metrics, and what the cluster
// shows and lets be done to it. It translates and decides nothing.
//
// Every answer but those of /livez, /readyz, /metrics and / is JSON; every
// error is an RFC 9457 problem document, made from an error in one table.
package http

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster"
	"github.com/huddlecache/huddle/counters"
	"github.com/huddlecache/huddle/locks"
	"github.com/huddlecache/huddle/server/redis"
	"github.com/huddlecache/huddle/sessions"
)

// Limits of a connection. A call that this package serves takes a few seconds
// at most; recovering, which asks every node, up to half a minute.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 30 * time.Second
	writeTimeout   = time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 32 << 10
)

// A Node is what is served.
type Node interface {
	// Ready returns nil, or why this node should not be sent clients.
	Ready() error
	// Note is what a ready node has to say all the same, such as that there is
	// no quorum. It is empty where all is well.
	Note() string
	// Err returns why the node stopped by itself, or nil.
	Err() error

	Status(ctx context.Context) cluster.Status
	Recover(ctx context.Context, o cluster.RecoverOptions) (report string, err error)
	Forget(ctx context.Context, id string) error
	Backup(ctx context.Context) (*cluster.Backup, error)
	Restore(ctx context.Context, from io.Reader) (cluster.Restored, error)
}

// Config says what is served, and to whom.
type Config struct {
	Node     Node
	Sessions *sessions.Sessions
	Locks    *locks.Locks
	Cache    *cache.Cache
	Counting *counters.Counters
	Redis    *redis.Counters // shown among the metrics; none if nil
	Password string          // asked of every call but /livez and /readyz; none if empty
	MaxValue int             // longest raw body of a call, in bytes; 8 MiB
	Version  string          // release, for people
	Logger   *slog.Logger    // for errors of connections; discards by default
}

// A Server has the two handlers of a node.
type Server struct {
	cfg      Config
	digest   [sha256.Size]byte // of the password
	registry *prometheus.Registry
}

// New returns the server of a node. It does no I/O.
func New(cfg Config) *Server {
	if cfg.MaxValue == 0 {
		cfg.MaxValue = 8 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, digest: sha256.Sum256([]byte(cfg.Password)), registry: prometheus.NewRegistry()}
	s.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{cfg},
	)
	return s
}

// Handler serves everything.
func (s *Server) Handler() http.Handler {
	private := http.NewServeMux()
	private.Handle("GET /{$}", http.HandlerFunc(s.page))
	private.Handle("GET /metrics", s.metrics())
	s.calls(private)

	public := http.NewServeMux()
	s.health(public)
	public.Handle("/", s.guard(noStore(unlabelled(problems(private)))))
	return public
}

// Health serves /livez, /readyz and /metrics alone, without a password, for
// probes from outside the pod.
func (s *Server) Health() http.Handler {
	mux := http.NewServeMux()
	s.health(mux)
	mux.Handle("GET /metrics", s.metrics())
	return problems(mux)
}

// NewHTTPServer returns a server of h whose time-outs and sizes are bounded.
func (s *Server) NewHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
}

func (s *Server) metrics() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// guard lets nobody in without the password, and no page of another origin:
// on a loopback address without a password, a browser is the only thing that
// others can reach through.
func (s *Server) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !s.isAuthorized(r):
			writeProblem(w, errUnauthorized)
		case origin.Check(r) != nil:
			writeProblem(w, errCrossOrigin)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isAuthorized compares digests, so that neither the password nor its length
// shows in the time that it takes.
func (s *Server) isAuthorized(r *http.Request) bool {
	if s.cfg.Password == "" {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	digest := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(digest[:], s.digest[:]) == 1
}

// problems answers what a mux knows no handler for with a problem document,
// where the mux itself would send plain text.
func problems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		// The mux's own answer says whether the path is unknown or only the
		// method, and which methods there are.
		answer := statusRecorder{header: w.Header()}
		handler.ServeHTTP(&answer, r)
		if answer.status == http.StatusMethodNotAllowed {
			writeProblem(w, errMethod)
			return
		}
		writeProblem(w, errNotFound)
	})
}

// A statusRecorder keeps the status and the header of an answer, and drops
// its body.
type statusRecorder struct {
	header http.Header
	status int
}

func (s *statusRecorder) Header() http.Header         { return s.header }
func (s *statusRecorder) WriteHeader(status int)      { s.status = status }
func (s *statusRecorder) Write(p []byte) (int, error) { return len(p), nil }
