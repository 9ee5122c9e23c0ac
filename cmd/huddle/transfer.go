package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// A transfer takes as long as it is large. What is bounded is how long it may
// stand still, and how long a node may take to put a backup into force.
const (
	stallTime  = time.Minute
	answerTime = 30 * time.Minute
)

var errStalled = errors.New("nothing more has come for a minute")

// transfer sends or asks for a backup. A body of unknown size has size -1.
func (c clientFlags) transfer(ctx context.Context, p process, method string, body io.Reader, size int64) (*http.Response, string, error) {
	password, err := p.env.secret("HUDDLE_PASSWORD", c.PasswordFile)
	if err != nil {
		return nil, "", err
	}
	base, err := c.base()
	if err != nil {
		return nil, "", err
	}
	req, err := http.NewRequestWithContext(ctx, method, base+"/v1/backup", body)
	if err != nil {
		return nil, "", usagef("--addr: %w", err)
	}
	req.ContentLength = size
	if method == http.MethodPut {
		req.Header.Set("Content-Type", "application/octet-stream")
		// Nothing is sent before the node has shown that it wants it.
		req.Header.Set("Expect", "100-continue")
	}
	if password != "" {
		req.Header.Set("Authorization", "Bearer "+password)
	}
	client := &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ExpectContinueTimeout: 10 * time.Second,
		ResponseHeaderTimeout: answerTime,
		DisableKeepAlives:     true,
	}}
	answer, err := client.Do(req)
	if err != nil {
		return nil, base, unreachable(base, err)
	}
	return answer, base, nil
}

// tracked reads, shows how far it is, and calls stalled if nothing comes for a
// while.
type tracked struct {
	from    io.Reader
	stalled func() // none if nil

	mu    sync.Mutex // guards all below: a client may still read when its call has ended
	show  *progress
	n     int64
	err   error // but for the end
	timer *time.Timer
}

// Read implements io.Reader.
func (t *tracked) Read(b []byte) (int, error) {
	t.watch()
	n, err := t.from.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += int64(n)
	t.show.at(t.n)
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return n, err
}

// watch begins to wait for the next bytes.
func (t *tracked) watch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.stalled == nil:
	case t.timer == nil:
		t.timer = time.AfterFunc(stallTime, t.stalled)
	default:
		t.timer.Reset(stallTime)
	}
}

// end shows nothing more. It returns how many bytes were read, and the error
// that came instead of the end.
func (t *tracked) end() (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
	}
	t.show.end()
	return t.n, t.err
}

// progress shows how far a transfer is, on a terminal and nowhere else.
type progress struct {
	w     io.Writer // nil: shows nothing
	what  string
	size  int64 // -1 if not known
	shown time.Time
}

func newProgress(p process, what string, size int64) *progress {
	show := &progress{what: what, size: size}
	if file, isFile := p.stderr.(*os.File); isFile && term.IsTerminal(int(file.Fd())) {
		show.w = file
	}
	return show
}

// at shows that n bytes have been moved, a few times a second.
func (s *progress) at(n int64) {
	if s.w == nil || time.Since(s.shown) < 200*time.Millisecond && n != s.size {
		return
	}
	s.shown = time.Now()
	switch {
	case s.size > 0 && n == s.size:
		fmt.Fprintf(s.w, "\r\x1b[K%s: %s, waiting for the cluster", s.what, formatSize(n))
	case s.size > 0:
		fmt.Fprintf(s.w, "\r\x1b[K%s: %s of %s", s.what, formatSize(n), formatSize(s.size))
	default:
		fmt.Fprintf(s.w, "\r\x1b[K%s: %s", s.what, formatSize(n))
	}
}

// end takes the line away.
func (s *progress) end() {
	if s.w != nil && !s.shown.IsZero() {
		fmt.Fprint(s.w, "\r\x1b[K")
	}
	s.w = nil
}

// formatSize writes a number of bytes for people.
func formatSize(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
