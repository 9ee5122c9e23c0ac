package counters

import (
	"errors"
	"fmt"
	"net"
	"net/http"
)

// MiddlewareConfig says which requests are limited, and how.
type MiddlewareConfig struct {
	// Limits are taken from by each request, all or none. Their names are what
	// clients see in the headers; each key has a limit of its own under the
	// name of both.
	Limits []Limit

	// Key says whom a request counts against. Requests with an empty key are
	// not limited. The default is the address of the connection, which behind
	// a proxy is the proxy's.
	Key func(*http.Request) string

	// Cost is what a request takes from each limit, instead of the limits' own
	// Cost.
	Cost func(*http.Request) int64

	// FailOpen lets requests through while the limits cannot be asked, because
	// a majority of the voters cannot be reached, say. The default is to answer
	// 503 then: what guards passwords or a quota must not open to whoever can
	// disturb the cluster. A service that would rather be used too much than
	// not at all sets this.
	FailOpen bool

	// Failed hears why the limits could not be asked, if it is set.
	Failed func(*http.Request, error)

	// Denied answers a request that was denied, with the headers set already.
	// The default is a line of text with status 429.
	Denied http.Handler
}

// Middleware limits the requests to a handler, and tells the limits in the
// headers of every answer; see [SetHeaders]. The error is ErrInvalid.
func (c *Counters) Middleware(cfg MiddlewareConfig) (func(http.Handler) http.Handler, error) {
	if _, err := callsOf(cfg.Limits); err != nil {
		return nil, fmt.Errorf("limits of the middleware: %w", err)
	}
	if cfg.Key == nil {
		cfg.Key = remoteHost
	}
	if cfg.Denied == nil {
		cfg.Denied = http.HandlerFunc(denied)
	}
	return func(next http.Handler) http.Handler {
		return &guard{counters: c, cfg: cfg, next: next}
	}, nil
}

// A guard is a handler behind limits.
type guard struct {
	counters *Counters
	cfg      MiddlewareConfig
	next     http.Handler
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := g.cfg.Key(r)
	if key == "" {
		g.next.ServeHTTP(w, r)
		return
	}
	results, err := g.counters.TakeAll(r.Context(), WriteOptions{}, g.limits(r, key)...)
	if err != nil {
		g.fail(w, r, err)
		return
	}
	SetHeaders(w.Header(), g.cfg.Limits, results)
	if !Admitted(results) {
		g.cfg.Denied.ServeHTTP(w, r)
		return
	}
	g.next.ServeHTTP(w, r)
}

// limits are those of one key.
func (g *guard) limits(r *http.Request, key string) []Limit {
	limits := make([]Limit, len(g.cfg.Limits))
	for i, l := range g.cfg.Limits {
		l.Name += ":" + key
		if g.cfg.Cost != nil {
			l.Cost = g.cfg.Cost(r)
		}
		limits[i] = l
	}
	return limits
}

func (g *guard) fail(w http.ResponseWriter, r *http.Request, err error) {
	if g.cfg.Failed != nil {
		g.cfg.Failed(r, err)
	}
	if g.cfg.FailOpen && !errors.Is(err, ErrInvalid) {
		g.next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, "the request limit cannot be checked now", http.StatusServiceUnavailable)
}

func denied(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "too many requests", http.StatusTooManyRequests)
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
