package sessions

import (
	"context"
	"net/http"
	"sync"

	"github.com/huddlecache/huddle/cluster/machine"
)

// DefaultCookie is the name of the cookie of a Tracker that has none.
const DefaultCookie = "huddle-index"

// A Tracker lets a browser read its session from the memory of whichever node
// it comes to, without ever going back in time: a cookie carries how far it
// has seen, and each request's reads and writes move that on.
//
//	handler := new(sessions.Tracker).Handler(mux)
//	…
//	got, err := s.Load(r.Context(), id, sessions.LoadOptions{Consistency: sessions.AtLeast(r.Context())})
//
// What others have done to the session, such as logging it out from another
// browser, is seen as soon as this node has heard of it: within half a second
// as a rule, and later on a node that is cut off. Use machine.Linearizable
// where that matters. Of answers to one browser that cross each other the last
// one's cookie stays, though it may be behind. The cookie says nothing of the session and need not be
// secret: a position that was made up is either not ahead, and changes nothing
// for anybody else, or makes the read linearizable.
type Tracker struct {
	Name   string // of the cookie; DefaultCookie
	Secure bool   // marks the cookie Secure also where the request came without TLS, as behind a proxy that ends it
}

// Handler returns a handler that reads the cookie, runs next with a context
// that [AtLeast], [Seen] and [Note] know, and sets the cookie where something
// newer was seen before the answer's header was written.
func (t *Tracker) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := &track{}
		if cookie, err := r.Cookie(t.name()); err == nil {
			if p, err := ParsePosition(cookie.Value); err == nil {
				seen.at = p
			}
		}
		tracked := &trackedWriter{ResponseWriter: w, tracker: t, track: seen, began: seen.at, isTLS: r.TLS != nil}
		next.ServeHTTP(tracked, r.WithContext(context.WithValue(r.Context(), trackKey{}, seen)))
		tracked.finish()
	})
}

func (t *Tracker) name() string {
	if t.Name == "" {
		return DefaultCookie
	}
	return t.Name
}

// trackKey is the key of a *track in a context.
type trackKey struct{}

// A track is how far one request, and whoever sent it, has seen.
type track struct {
	mu sync.Mutex // guards at
	at Position
}

func (t *track) seen() Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at
}

// Note moves on how far the caller has seen. Every method of Sessions does so
// by itself. Without a Tracker it does nothing.
func Note(ctx context.Context, p Position) {
	t, found := ctx.Value(trackKey{}).(*track)
	if !found || p.Cluster == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.isNews(t.at) {
		t.at = p
	}
}

// Seen returns how far the caller has seen. It is zero without a Tracker, and
// where nothing was seen yet.
func Seen(ctx context.Context) Position {
	t, found := ctx.Value(trackKey{}).(*track)
	if !found {
		return Position{}
	}
	return t.seen()
}

// AtLeast returns the consistency of reads that are never older than what the
// caller has seen. For one that has seen nothing yet they are linearizable.
func AtLeast(ctx context.Context) machine.Consistency { return Seen(ctx).Consistency() }

// A trackedWriter sets the cookie before the header of an answer is written.
type trackedWriter struct {
	http.ResponseWriter
	tracker *Tracker
	track   *track
	began   Position // what the cookie said
	isTLS   bool
	isDone  bool
}

// Unwrap is for http.ResponseController.
func (w *trackedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// finish sets the cookie if that is due and still possible.
func (w *trackedWriter) finish() {
	at := w.track.seen()
	if w.isDone || !at.isNews(w.began) {
		return
	}
	w.isDone = true
	http.SetCookie(w.ResponseWriter, &http.Cookie{
		Name: w.tracker.name(), Value: at.String(), Path: "/",
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: w.isTLS || w.tracker.Secure,
	})
}

// WriteHeader sets the cookie, unless more headers will follow.
func (w *trackedWriter) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		w.finish()
		w.isDone = true
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sets the cookie if this is what writes the header.
func (w *trackedWriter) Write(p []byte) (int, error) {
	w.finish()
	w.isDone = true
	return w.ResponseWriter.Write(p)
}

// FlushError sets the cookie if this is what writes the header.
func (w *trackedWriter) FlushError() error {
	w.finish()
	w.isDone = true
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush is FlushError for those who know http.Flusher only.
func (w *trackedWriter) Flush() { _ = w.FlushError() }
