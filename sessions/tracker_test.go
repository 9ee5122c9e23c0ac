package sessions_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/sessions"
)

func TestPositions(t *testing.T) {
	for _, s := range []string{"", "5f0c-812", "a-b_C-0", "c-18446744073709551615"} {
		p, err := sessions.ParsePosition(s)
		if p.String() != s || err != nil {
			t.Errorf("%q: got %v, %v", s, p, err)
		}
	}
	for _, s := range []string{"-", "-1", "c-", "c", "812", "c--", "c-x", "c-18446744073709551616", "c\r\n-1", "c;-1", "é-1", strings.Repeat("c", 130) + "-1"} {
		if p, err := sessions.ParsePosition(s); !errors.Is(err, sessions.ErrInvalid) {
			t.Errorf("%q: got %v, %v; want ErrInvalid", s, p, err)
		}
	}
	if got := (sessions.Position{}).Consistency(); got != machine.Linearizable {
		t.Errorf("behind nothing: got %v", got)
	}
	if got := (sessions.Position{Cluster: "c", Index: 3}).Consistency(); got != machine.AtLeast("c", 3) {
		t.Errorf("behind c-3: got %v", got)
	}
}

// visit runs one request with a cookie, if it is not empty, and returns the
// one that is set, with all its attributes.
func visit(t *testing.T, tracker *sessions.Tracker, cookie string, r *http.Request, handler http.HandlerFunc) string {
	t.Helper()
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: "huddle-index", Value: cookie})
	}
	w := httptest.NewRecorder()
	tracker.Handler(handler).ServeHTTP(w, r)
	if set := w.Result().Header.Values("Set-Cookie"); len(set) > 1 {
		t.Errorf("more than one cookie: %q", set)
	}
	return w.Result().Header.Get("Set-Cookie")
}

func TestTrackerCarriesAPosition(t *testing.T) {
	note := func(positions ...string) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			for _, s := range positions {
				p, err := sessions.ParsePosition(s)
				if err != nil {
					t.Error(err)
				}
				sessions.Note(r.Context(), p)
			}
		}
	}
	const attributes = "; Path=/; HttpOnly; SameSite=Lax"
	for _, test := range []struct {
		name    string
		cookie  string
		handler http.HandlerFunc
		want    string
	}{
		{"nothing seen", "", note(), ""},
		{"something seen", "", note("c-7"), "huddle-index=c-7" + attributes},
		{"more seen", "c-6", note("c-7"), "huddle-index=c-7" + attributes},
		{"the newest counts", "c-6", note("c-7", "c-9", "c-8"), "huddle-index=c-9" + attributes},
		{"nothing new", "c-7", note("c-7", "c-6"), ""},
		{"another cluster", "c-7", note("d-1"), "huddle-index=d-1" + attributes},
		{"no position", "c-7", note(""), ""},
		{"nonsense in the cookie", "c-x", note("c-7"), "huddle-index=c-7" + attributes},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if got := visit(t, &sessions.Tracker{}, test.cookie, r, test.handler); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}

	r := httptest.NewRequest("GET", "/", nil)
	r.TLS = &tls.ConnectionState{}
	want := "huddle-index=c-7; Path=/; HttpOnly; Secure; SameSite=Lax"
	if got := visit(t, &sessions.Tracker{}, "", r, note("c-7")); got != want {
		t.Errorf("over TLS: got %q, want %q", got, want)
	}
	want = strings.Replace(want, "huddle-index", "i", 1)
	if got := visit(t, &sessions.Tracker{Name: "i", Secure: true}, "", httptest.NewRequest("GET", "/", nil), note("c-7")); got != want {
		t.Errorf("behind a proxy: got %q, want %q", got, want)
	}
}

// TestTheCookieIsSetBeforeTheHeaderIsWritten goes through all ways to write
// it, with a real server.
func TestTheCookieIsSetBeforeTheHeaderIsWritten(t *testing.T) {
	early, late := sessions.Position{Cluster: "c", Index: 1}, sessions.Position{Cluster: "c", Index: 2}
	for name, write := range map[string]func(w http.ResponseWriter){
		"not at all":      func(http.ResponseWriter) {},
		"by a status":     func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) },
		"by a body":       func(w http.ResponseWriter) { fmt.Fprint(w, "hello") },
		"by a copy":       func(w http.ResponseWriter) { _, _ = io.Copy(w, strings.NewReader("hello")) },
		"by a flush":      func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"by a controller": func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		"behind hints": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
		},
	} {
		server := httptest.NewServer(new(sessions.Tracker).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sessions.Note(r.Context(), early)
			write(w)
			sessions.Note(r.Context(), late)
		})))
		response, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		server.Close()
		want := early
		if name == "not at all" {
			want = late
		}
		if got := response.Header.Values("Set-Cookie"); len(got) != 1 || !strings.HasPrefix(got[0], "huddle-index="+want.String()+";") {
			t.Errorf("written %s: got %q, want %s", name, got, want)
		}
	}
}

func TestCallsNoteWhatTheyHaveSeen(t *testing.T) {
	w := newWorld(t)
	visit(t, &sessions.Tracker{}, "", httptest.NewRequest("GET", "/", nil), func(_ http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if got := sessions.AtLeast(ctx); got != machine.Linearizable {
			t.Errorf("at first: got %v", got)
		}
		check := func(what string, at sessions.Position) {
			t.Helper()
			if want := sessions.PositionOf(w.stamp); sessions.Seen(ctx) != want || at != want {
				t.Errorf("%s: seen %v, returned %v, want %v", what, sessions.Seen(ctx), at, want)
			}
		}
		saved, _ := w.s.Save(ctx, "s", nil, sessions.SaveOptions{User: "u"})
		check("save", saved.At)
		w.stamp.Index++
		loaded, _ := w.s.Load(ctx, "s", sessions.LoadOptions{Consistency: sessions.AtLeast(ctx)})
		check("load", loaded.At)
		w.stamp.Index++
		missing, _ := w.s.Load(ctx, "none", sessions.LoadOptions{})
		check("load of none", missing.At)
		conflict, _ := w.s.Save(ctx, "s", nil, sessions.SaveOptions{If: sessions.Absent()})
		check("conflict", conflict.At)
		w.stamp.Index++
		list, _ := w.s.List(ctx, "u", machine.Local)
		check("list", list.At)
		gone, _ := w.s.DestroyAll(ctx, "u", sessions.DestroyOptions{})
		check("destroy all", gone.At)
	})
	if got := sessions.Seen(context.Background()); got != (sessions.Position{}) {
		t.Errorf("without a tracker: got %v", got)
	}
}
