package origin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cache/internal/origin"
)

func parse(t *testing.T, text string) origin.Address {
	t.Helper()
	a, err := origin.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// serve runs an application, and returns its address and a client.
func serve(t *testing.T, app http.HandlerFunc) (string, *origin.Client) {
	t.Helper()
	server := httptest.NewServer(app)
	client := origin.NewClient(16, nil)
	t.Cleanup(server.Close)
	t.Cleanup(client.Close)
	return server.URL, client
}

func TestAddresses(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"http://app", ""},
		{"https://app:8443/pages/", ""},
		{"http://127.0.0.1:80/pages?x=1", ""},
		{"http://[::1]/{key}.html?again={key}", ""},
		{"", "http or https"},
		{"app/pages", "http or https"},
		{"ftp://app", "http or https"},
		{"file:///etc/passwd", "http or https"},
		{"http:///pages", "http or https"},
		{"http://:80/", "http or https"},
		{"http:app", "http or https"},
		{"http://{key}/", "no URL"},
		{"http://app:{key}/", "no URL"},
		{"http://{key}.example.com/", "no URL"},
		{"http://me:secret@app/", "credentials"},
		{"http://app/#x", "fragment"},
		{"http://app/\n", "no URL"},
		{"http://app/" + strings.Repeat("x", 2048), "over 2048"},
	} {
		_, err := origin.Parse(test.text)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%q is refused: %v", test.text, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%q: got %v, want an error with %q", test.text, err, test.want)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestKeysStayInTheirPlace(t *testing.T) {
	got := ""
	base, client := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI })
	for _, test := range []struct{ address, key, want string }{
		{"", "a", "/a"},
		{"/", "a", "/a"},
		{"/p/", "a b+c", "/p/a%20b%2Bc"},
		{"/p", "a/b", "/p/a%2Fb"},
		{"/p", "a?b#c", "/p/a%3Fb%23c"},
		{"/p?x=1", "a&b=c", "/p/a%26b%3Dc?x=1"},
		{"/p?id={key}&x=1", "a&x=2", "/p?id=a%26x%3D2&x=1"},
		{"/{key}/p", "ä\r\nHost: x", "/%C3%A4%0D%0AHost%3A%20x/p"},
		{"/p", "%2e%2e%2fadmin", "/p/%252e%252e%252fadmin"},
		{"/p", "...", "/p/..."},
		{"/p", "{key}", "/p/%7Bkey%7D"},
		{"/p", ".", ""},
		{"/p", "..", ""},
		{"/p", "a/../../admin", ""},
		{"/p", `..\admin`, ""},
		{"/p", "..;x/admin", ""},
	} {
		got = ""
		_, err := client.Get(t.Context(), parse(t, base+test.address), test.key)
		if (test.want == "") != errors.Is(err, origin.ErrKey) || got != test.want {
			t.Errorf("%s and %q: got %s, %v, want %q", test.address, test.key, got, err, test.want)
		}
	}
}

func FuzzKeysStayInTheirPlace(f *testing.F) {
	for _, key := range []string{"a", "../x", "a?b", "%2e%2e", "\x00", "ä/ö"} {
		f.Add(key)
	}
	const before, after = "http://app:1/p/", "/q?x=1"
	f.Fuzz(func(t *testing.T, key string) {
		target, err := origin.Of(parse(t, before+"{key}"+after), key)
		if err != nil {
			return
		}
		u, err := url.Parse(target)
		if err != nil {
			t.Fatalf("%q makes %q: %v", key, target, err)
		}
		middle := strings.TrimSuffix(strings.TrimPrefix(target, before), after)
		if u.Host != "app:1" || u.RawQuery != "x=1" || u.Fragment != "" || u.Path != "/p/"+key+"/q" || strings.Trim(middle, ".") == "" && middle != "" && len(middle) < 3 {
			t.Errorf("%q makes %q", key, target)
		}
	})
}

func TestPolicies(t *testing.T) {
	keep := func(ttl, stale time.Duration) origin.Policy { return origin.Policy{TTL: ttl, Stale: stale} }
	none := origin.Policy{NoStore: true}
	const second, never = time.Second, time.Duration(-1)
	for _, test := range []struct {
		control string
		more    string // another field
		want    origin.Policy
	}{
		{"", "", keep(0, 0)},
		{"public", "", keep(0, 0)},
		{"max-age=60", "", keep(60*second, 0)},
		{"Max-Age=60, PUBLIC", "", keep(60*second, 0)},
		{`max-age="60"`, "", keep(60*second, 0)},
		{"max-age=60", "Age: 20", keep(40*second, 0)},
		{"max-age=60", "Age: x", keep(60*second, 0)},
		{"max-age=60", "Age: 60", none},
		{"max-age=60, max-age=90", "", keep(60*second, 0)},
		{"max-age=60", "Cache-Control: no-store", none},
		{"max-age=0", "", none},
		{"max-age=x", "", none},
		{"max-age=-1", "", none},
		{"max-age", "", none},
		{"max-age=99999999999999999999", "", keep(10*365*24*time.Hour, 0)},
		{"max-age=60, s-maxage=10", "", keep(10*second, never)},
		{"s-maxage=10, stale-while-revalidate=30", "", keep(10*second, 30*second)},
		{"max-age=60, stale-while-revalidate=30", "", keep(60*second, 30*second)},
		{"max-age=60, stale-while-revalidate=0", "", keep(60*second, never)},
		{"max-age=60, stale-while-revalidate=30", "Age: 70", keep(time.Millisecond, 20*second)},
		{"max-age=60, stale-while-revalidate=30", "Age: 90", none},
		{"max-age=0, stale-while-revalidate=30", "", keep(time.Millisecond, 30*second)},
		{"max-age=60, stale-while-revalidate=30, must-revalidate", "", keep(60*second, never)},
		{"max-age=60, proxy-revalidate", "", keep(60*second, never)},
		{"stale-while-revalidate=30", "", keep(0, 30*second)},
		{"no-store", "", none},
		{"no-cache, private", "", none},
		{"max-age=60, private", "", none},
		{`private="Set-Cookie, X", max-age=60`, "", none},
		{`ext="a, no-store", max-age=60`, "", keep(60*second, 0)},
		{`ext="a\", no-store", max-age=60`, "", keep(60*second, 0)},
		{"max-age=60", "Vary: *", none},
		{"max-age=60", "Vary: Accept", keep(60*second, 0)},
	} {
		for _, status := range []int{200, 404} {
			base, client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", test.control)
				if name, value, found := strings.Cut(test.more, ": "); found {
					w.Header().Add(name, value)
				}
				w.WriteHeader(status)
			})
			got, err := client.Get(t.Context(), parse(t, base), "k")
			if err != nil || got.Policy != test.want || got.IsMissing != (status == 404) {
				t.Errorf("%d %q %q: got %+v, %v, want %+v", status, test.control, test.more, got, err, test.want)
			}
		}
	}
}

func TestAnswers(t *testing.T) {
	elsewhere, _ := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("another host is asked") })
	base, client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		switch r.URL.Path {
		case "/page":
			header.Set("Content-Type", "text/html; charset=utf-8")
			header.Add("Surrogate-Key", "news sport  news")
			header.Add("Surrogate-Key", "all")
			header.Add("Cache-Tag", "a b, sport,,c")
			_, _ = fmt.Fprint(w, "<h1>")
		case "/long":
			_, _ = fmt.Fprint(w, strings.Repeat("x", 17))
		case "/encoded":
			header.Set("Content-Encoding", "br")
		case "/type":
			header.Set("Content-Type", strings.Repeat("x", 256))
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/near":
			http.Redirect(w, r, "/page", http.StatusFound)
		case "/far":
			http.Redirect(w, r, elsewhere+"/page", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/cut":
			header.Set("Content-Length", "9")
			_, _ = fmt.Fprint(w, "four")
		case "/asks":
			_, _ = fmt.Fprintf(w, "%t %s%s", r.Header.Get("CDN-Loop") == origin.Loop, r.Header.Get("Cookie"), r.Header.Get("Authorization"))
		}
	})
	page := origin.Answer{Body: []byte("<h1>"), Type: "text/html; charset=utf-8", Tags: []string{"news", "sport", "all", "a b", "c"}}
	for _, test := range []struct {
		key  string
		want origin.Answer
		err  string
	}{
		{"page", page, ""},
		{"near", page, ""},
		{"gone", origin.Answer{IsMissing: true}, ""},
		{"type", origin.Answer{Body: []byte{}}, ""},
		{"asks", origin.Answer{Body: []byte("true "), Type: "text/plain; charset=utf-8"}, ""},
		{"long", origin.Answer{}, "more than 16 bytes"},
		{"encoded", origin.Answer{}, "encoded"},
		{"broken", origin.Answer{}, "status 500"},
		{"empty", origin.Answer{}, "status 204"},
		{"far", origin.Answer{}, "another host"},
		{"loop", origin.Answer{}, "redirects"},
		{"cut", origin.Answer{}, "unexpected EOF"},
	} {
		got, err := client.Get(t.Context(), parse(t, base), test.key)
		switch {
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), base)):
			t.Errorf("%s: got %v, want an error with %q and without the address", test.key, err, test.err)
		case test.err == "" && (err != nil || !reflect.DeepEqual(got, test.want)):
			t.Errorf("%s: got %+v, %v, want %+v", test.key, got, err, test.want)
		}
	}
}

func TestCloudsSecretsAreOutOfReach(t *testing.T) {
	client := origin.NewClient(16, nil)
	defer client.Close()
	for _, host := range []string{"169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"} {
		_, err := client.Get(t.Context(), parse(t, "http://"+host+":1"), "k")
		if err == nil || !strings.Contains(err.Error(), "link-local") {
			t.Errorf("%s: got %v, want that it is link-local", host, err)
		}
	}
}

func TestTheContextEndsAGet(t *testing.T) {
	asked := make(chan struct{})
	base, client := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // ends with the request
		<-asked
		cancel()
	}()
	if _, err := client.Get(ctx, parse(t, base), "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it is cancelled", err)
	}
}
