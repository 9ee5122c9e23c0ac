// Command service is a small web service whose replicas are their own backing
// service: visitors keep their sessions whichever replica answers, all
// replicas together let each of them log in five times a minute, a page is
// rendered once for all of them, and the nightly job runs once.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/huddlecache/huddle"
	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/counters"
	"github.com/huddlecache/huddle/locks"
	"github.com/huddlecache/huddle/sessions"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	key, err := base64.StdEncoding.DecodeString(os.Getenv("HUDDLE_KEY"))
	if err != nil {
		return fmt.Errorf("HUDDLE_KEY: %w", err)
	}
	node, err := huddle.Open(ctx, huddle.Config{
		Join:   strings.Split(os.Getenv("HUDDLE_JOIN"), ","), // a headless service's name
		Keys:   [][]byte{key},                                // 32 bytes, the same in every pod
		Logger: slog.Default(),
	})
	if err != nil {
		return err
	}
	defer func() { _ = node.Close(context.Background()) }()
	handler, err := newService(node)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: ":8080", Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go nightly(ctx, node, func(ctx context.Context, _ uint64) error { return sendReports(ctx) })
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newService returns what the replica of a node answers to visitors.
func newService(node *huddle.Node) (http.Handler, error) {
	limited, err := node.Counters().Middleware(counters.MiddlewareConfig{
		Limits: []counters.Limit{{Name: "login", Algorithm: counters.SlidingWindow, Limit: 5, Window: time.Minute}},
		Key:    func(r *http.Request) string { return r.FormValue("user") },
	})
	if err != nil {
		return nil, err
	}
	products, err := node.Cache().Group("products", cache.GroupConfig{
		Loader: cache.LoaderFunc(func(ctx context.Context, id string) (cache.Value, error) {
			page, err := render(ctx, id)
			return cache.Value{Bytes: page, Tags: []string{"products"}}, err
		}),
		TTL:   10 * time.Minute,
		Stale: time.Hour, // served on while somebody makes it anew
	})
	if err != nil {
		return nil, err
	}
	s := &service{node, products}
	mux := http.NewServeMux()
	mux.Handle("POST /login", limited(http.HandlerFunc(s.login)))
	mux.HandleFunc("POST /cart/{item}", s.addToCart)
	mux.HandleFunc("GET /cart", s.cart)
	mux.HandleFunc("GET /products/{id}", s.product)
	return new(sessions.Tracker).Handler(mux), nil
}

type service struct {
	node     *huddle.Node
	products *cache.Group
}

// login begins a session.
func (s *service) login(w http.ResponseWriter, r *http.Request) {
	id := rand.Text()
	_, err := s.node.Sessions().Save(r.Context(), id, []byte(`{"cart":{}}`), sessions.SaveOptions{
		User: r.FormValue("user"), TTL: 30 * time.Minute, If: sessions.Absent(),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "session", Value: id, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// addToCart merges one item into the session: two requests that do so at the
// same time, at two replicas, lose nothing.
func (s *service) addToCart(w http.ResponseWriter, r *http.Request) {
	patch, err := json.Marshal(map[string]any{"cart": map[string]int{r.PathValue("item"): 1}})
	if err == nil {
		_, err = s.node.Sessions().Merge(r.Context(), sessionID(r), patch, sessions.SaveOptions{If: sessions.Present()})
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
	}
}

// cart reads from this replica's memory, and never less than this visitor has
// seen before.
func (s *service) cart(w http.ResponseWriter, r *http.Request) {
	got, err := s.node.Sessions().Load(r.Context(), sessionID(r), sessions.LoadOptions{Consistency: sessions.AtLeast(r.Context())})
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(got.Data)
}

// product shows a page that one replica has rendered for all.
func (s *service) product(w http.ResponseWriter, r *http.Request) {
	page, err := s.products.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write(page)
}

// render makes the page of a product, which takes a while.
func render(ctx context.Context, id string) ([]byte, error) {
	select {
	case <-time.After(100 * time.Millisecond):
		return fmt.Appendf(nil, "product %s, as of %s", id, time.Now().Format(time.RFC3339Nano)), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func sessionID(r *http.Request) string {
	cookie, err := r.Cookie("session")
	if err != nil {
		return ""
	}
	return cookie.Value
}

// nightly runs job at one replica at a time, and once a day. The token grows
// from one holder of the lock to the next: a database that keeps the highest
// one can refuse what a holder still writes that has been paused past its lease.
func nightly(ctx context.Context, node *huddle.Node, job func(ctx context.Context, token uint64) error) {
	for ctx.Err() == nil {
		err := tonight(ctx, node, job)
		if err != nil && !errors.Is(err, locks.ErrNotAcquired) {
			slog.Warn("the nightly job", slog.Any("error", err))
		}
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
		}
	}
}

// tonight runs the job if nobody has begun it tonight.
func tonight(ctx context.Context, node *huddle.Node, job func(ctx context.Context, token uint64) error) error {
	lock, err := node.Locks().Acquire(ctx, "nightly", locks.Options{TTL: 30 * time.Second})
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release(context.WithoutCancel(ctx)) }() // else it ends with its lease
	night := "nightly-" + time.Now().Format(time.DateOnly)
	if begun, err := node.Counters().Add(ctx, night, 1, counters.AddOptions{TTL: 48 * time.Hour}); err != nil || begun > 1 {
		return err
	}
	return job(lock.Context(), lock.Token())
}

func sendReports(context.Context) error {
	slog.Info("the nightly reports")
	return nil
}
