package sessions_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

// These are the interfaces of github.com/alexedwards/scs/v2, as its store.go
// has them.
type (
	scsStore interface {
		Delete(token string) (err error)
		Find(token string) (b []byte, found bool, err error)
		Commit(token string, b []byte, expiry time.Time) (err error)
	}
	scsIterableStore interface {
		All() (map[string][]byte, error)
	}
	scsCtxStore interface {
		scsStore
		DeleteCtx(ctx context.Context, token string) (err error)
		FindCtx(ctx context.Context, token string) (b []byte, found bool, err error)
		CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) (err error)
	}
	scsIterableCtxStore interface {
		AllCtx(ctx context.Context) (map[string][]byte, error)
	}
)

var _ interface {
	scsCtxStore
	scsIterableStore
	scsIterableCtxStore
} = (*sessions.Store)(nil)

func TestStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // for the clock that tells when a session shall end
		w := newWorld(t)
		store := sessions.NewStore(w.s, sessions.StoreConfig{
			Prefix: "app:",
			User:   func(data []byte) string { user, _, _ := strings.Cut(string(data), " "); return user },
		})
		find := func(token, want string, isThere bool) {
			t.Helper()
			got, found, err := store.Find(token)
			if string(got) != want || found != isThere || err != nil {
				t.Errorf("Find(%q): got %q, %v, %v; want %q, %v", token, got, found, err, want, isThere)
			}
		}
		commit := func(token, data string, left time.Duration) {
			t.Helper()
			if err := store.Commit(token, []byte(data), time.Now().Add(left)); err != nil {
				t.Errorf("Commit(%q): %v", token, err)
			}
		}
		find("t", "", false)
		commit("t", "joe one", time.Minute)
		commit("t", "joe two", time.Hour)
		find("t", "joe two", true)
		if got := w.load("app:t", sessions.LoadOptions{}); got.User != "joe" || got.Left != time.Hour {
			t.Errorf("got %+v, want joe's for an hour", got)
		}
		w.sleep(time.Hour)
		find("t", "", false)
		commit("t", "joe three", time.Hour)
		commit("t", "joe four", 0) // is over
		find("t", "", false)
		commit("t", "joe five", time.Hour)
		for range 2 {
			if err := store.Delete("t"); err != nil {
				t.Errorf("deleting: %v", err)
			}
		}
		find("t", "", false)
		commit("far", "joe", 200*365*24*time.Hour)
		find("far", "joe", true)

		long := strings.Repeat("x", sessions.MaxID)
		for _, token := range []string{long, ""} {
			find(token, "", false)
			if err := store.Delete(token); err != nil {
				t.Errorf("deleting %.10q: %v", token, err)
			}
		}
		if err := store.Commit(long, nil, time.Now().Add(time.Hour)); !errors.Is(err, sessions.ErrInvalid) {
			t.Errorf("a long token is committed: %v", err)
		}

		w.queryErr, w.doErr = machine.ErrNoQuorum, machine.ErrUnknown
		_, found, err := store.Find("t")
		_, errAll := store.All()
		if found || !errors.Is(err, machine.ErrNoQuorum) || !errors.Is(errAll, machine.ErrNoQuorum) {
			t.Errorf("without a quorum: got %v, %v and %v", found, err, errAll)
		}
		if err := store.Commit("t", nil, time.Now().Add(time.Hour)); !errors.Is(err, machine.ErrUnknown) {
			t.Errorf("committing: got %v, want ErrUnknown", err)
		}
	})
}

func TestStoreReturnsAllOfItsOwn(t *testing.T) {
	w := newWorld(t)
	w.s = sessions.New(w, sessions.Config{})
	want := map[string][]byte{}
	for i := range 40 { // several pages
		token, data := fmt.Sprintf("\xff%d", i), strings.Repeat("x", i*5_000)
		want[token] = []byte(data)
		w.save("p"+token, data, sessions.SaveOptions{})
	}
	for _, other := range []string{"", "o", "q", "\xff"} {
		w.save("other"+other, "", sessions.SaveOptions{})
		w.save(other+"o", "", sessions.SaveOptions{})
	}
	w.save("p\xffover", "", sessions.SaveOptions{TTL: 1})
	w.sleep(time.Millisecond)
	got, err := sessions.NewStore(w.s, sessions.StoreConfig{Prefix: "p"}).All()
	if err != nil || !maps.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("got %d sessions, %v; want %d", len(got), err, len(want))
	}
	if len(w.asked) < 3 {
		t.Errorf("asked %d times, want pages", len(w.asked))
	}
	got, err = sessions.NewStore(w.s, sessions.StoreConfig{Prefix: "none"}).All()
	if got == nil || len(got) != 0 || err != nil {
		t.Errorf("of none: got %v, %v; want an empty map", got, err)
	}
}

// TestStoreReadsBehindWhatTheCallerHasSeen shows when a store reads locally.
func TestStoreReadsBehindWhatTheCallerHasSeen(t *testing.T) {
	w := newWorld(t)
	store := sessions.NewStore(w.s, sessions.StoreConfig{})
	handler := new(sessions.Tracker).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for range 2 {
			if _, _, err := store.FindCtx(r.Context(), "t"); err != nil {
				t.Error(err)
			}
		}
	}))
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	if want := []machine.Consistency{machine.Linearizable, machine.AtLeast("c1", 5)}; fmt.Sprint(w.asked) != fmt.Sprint(want) {
		t.Errorf("asked %v, want %v", w.asked, want)
	}
}
