// Package origin gets values from an application over HTTP: one GET for each
// key, at an address that is made from the key.
//
// Only that address is asked. A key cannot lead out of its place in it, no
// redirect leads to another host, no proxy is used, and nothing that a caller
// sent goes along: no cookie and no credentials.
package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Errors of this package. Beside them Get returns what the transport does, and
// the context's.
var (
	// ErrURL means that an address cannot be used.
	ErrURL = errors.New("give an address such as http://127.0.0.1:8080/pages, with {key} where the key goes if not at its end")
	// ErrKey means that a key would lead out of its place in the address.
	ErrKey = errors.New("a key that is to be fetched has no part that is a dot or two")
	// ErrAnswer means that the application has answered something that is no
	// value.
	ErrAnswer = errors.New("no value")
)

const (
	// Loop is the product that each request names as CDN-Loop (RFC 8586), so
	// that a loader that leads back here can be told.
	Loop = "huddle"

	keyMark      = "{key}"
	maxURL       = 2 << 10
	maxRedirects = 3
	maxHeader    = 64 << 10
	maxType      = 255
	dialTime     = 5 * time.Second
	idleTime     = 30 * time.Second
)

// An Address is where the values are: an absolute URL with keyMark where the
// key goes.
type Address struct{ text string }

// Parse reads an address. Without {key} in it the key is the last part of the
// path.
func Parse(text string) (Address, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Address{}, fmt.Errorf("%q is no URL: %w", text, ErrURL)
	case len(text) > maxURL:
		return Address{}, fmt.Errorf("a URL of %d bytes is over %d", len(text), maxURL)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return Address{}, fmt.Errorf("%q is not of http or https: %w", text, ErrURL)
	case u.User != nil:
		return Address{}, fmt.Errorf("the URL has a user's name in it, and no credentials are sent: %w", ErrURL)
	case strings.Contains(text, "#"):
		return Address{}, fmt.Errorf("%q has a fragment, which no server sees: %w", text, ErrURL)
	}
	if !strings.Contains(text, keyMark) {
		path, query, hasQuery := strings.Cut(text, "?")
		text = strings.TrimRight(path, "/") + "/" + keyMark
		if hasQuery {
			text += "?" + query
		}
	}
	return Address{text}, nil
}

// of returns the URL of a key. All of it but letters, digits and -._~ is
// percent-encoded, which is right in a path as in a query.
func (a Address) of(key string) (string, error) {
	if hasDots(key) {
		return "", ErrKey
	}
	escaped := strings.ReplaceAll(url.QueryEscape(key), "+", "%20")
	return strings.ReplaceAll(a.text, keyMark, escaped), nil
}

// hasDots reports whether one of a key's parts names a directory. Escaping is
// not enough there: servers decode a path before they resolve it. Some of them
// take \ for /, and what is behind ; for no part of a name.
func hasDots(key string) bool {
	for part := range strings.SplitSeq(strings.ReplaceAll(key, `\`, "/"), "/") {
		if name, _, _ := strings.Cut(part, ";"); name == "." || name == ".." {
			return true
		}
	}
	return false
}

// A Client asks applications.
type Client struct {
	http     http.Client
	maxValue int
}

// NewClient returns a client that takes values of up to maxValue bytes. Without
// a transport it is the machine's network. Close it.
func NewClient(maxValue int, transport http.RoundTripper) *Client {
	if transport == nil {
		dialer := net.Dialer{Timeout: dialTime, Control: refuseLinkLocal}
		transport = &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTime, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 16, IdleConnTimeout: idleTime, MaxResponseHeaderBytes: maxHeader,
		}
	}
	return &Client{http: http.Client{Transport: transport, CheckRedirect: sameHost}, maxValue: maxValue}
}

// Close ends connections that are not used. Those that are end with their
// context.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// refuseLinkLocal keeps loaders from addresses such as 169.254.169.254, at
// which clouds tell a machine its secrets.
func refuseLinkLocal(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err == nil && to.Addr().Unmap().IsLinkLocalUnicast() {
		return fmt.Errorf("%s is link-local, and not fetched from", to.Addr())
	}
	return err
}

// sameHost refuses redirects that lead elsewhere.
func sameHost(to *http.Request, via []*http.Request) error {
	switch first := via[0].URL; {
	case to.URL.Scheme != first.Scheme || to.URL.Host != first.Host:
		return fmt.Errorf("%w: a redirect to another host", ErrAnswer)
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: over %d redirects", ErrAnswer, maxRedirects)
	}
	return nil
}

// An Answer is what an application says of a key.
type Answer struct {
	Body      []byte
	Type      string   // of the body, as Content-Type says; empty if it does not
	Tags      []string // Surrogate-Key, between spaces, and Cache-Tag, between commas
	Policy    Policy
	IsMissing bool // there is none: 404 or 410
}

// Get asks for a key.
func (c *Client) Get(ctx context.Context, a Address, key string) (Answer, error) {
	target, err := a.of(key)
	if err != nil {
		return Answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return Answer{}, withoutURL(err)
	}
	request.Header.Set("User-Agent", "huddle")
	request.Header.Set("CDN-Loop", Loop)
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{}, withoutURL(err)
	}
	defer response.Body.Close()
	return c.read(response)
}

// withoutURL takes the address out of an error: it may hold what is nobody's
// business.
func withoutURL(err error) error {
	if wrapped, found := errors.AsType[*url.Error](err); found {
		return wrapped.Err
	}
	return err
}

func (c *Client) read(r *http.Response) (Answer, error) {
	answer := Answer{Type: r.Header.Get("Content-Type"), Tags: tagsOf(r.Header), Policy: policyOf(r.Header)}
	switch encoding := r.Header.Get("Content-Encoding"); {
	case r.StatusCode == http.StatusNotFound, r.StatusCode == http.StatusGone:
		answer.IsMissing = true
		return answer, nil
	case r.StatusCode != http.StatusOK:
		return Answer{}, fmt.Errorf("%w: status %d", ErrAnswer, r.StatusCode)
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return Answer{}, fmt.Errorf("%w: it is encoded, which was not asked for", ErrAnswer)
	case len(answer.Type) > maxType:
		answer.Type = ""
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(c.maxValue)+1))
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("reading the value: %w", err)
	case len(body) > c.maxValue:
		return Answer{}, fmt.Errorf("%w: it has more than %d bytes", ErrAnswer, c.maxValue)
	}
	answer.Body = bytes.Clone(body) // without the room that reading took
	return answer, nil
}

// tagsOf returns the tags of an answer, each once.
func tagsOf(h http.Header) []string {
	var tags []string
	add := func(tag string) {
		if tag = strings.TrimSpace(tag); tag != "" && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	for tag := range strings.FieldsSeq(strings.Join(h.Values("Surrogate-Key"), " ")) {
		add(tag)
	}
	for tag := range strings.SplitSeq(strings.Join(h.Values("Cache-Tag"), ","), ",") {
		add(tag)
	}
	return tags
}
