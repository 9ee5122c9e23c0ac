package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

// clientFlags are those of every command that talks to a node.
type clientFlags struct {
	Addr         string `setting:"" help:"The node to talk to." default:"http://127.0.0.1:8379"`
	PasswordFile string `setting:"" help:"File with the node's password; or HUDDLE_PASSWORD." placeholder:"FILE"`
}

// call sends one request to the node and decodes the answer into out, if out
// is not nil. Its errors say what to do.
func (c clientFlags) call(ctx context.Context, p process, method, path string, in, out any) error {
	password, err := p.env.secret("HUDDLE_PASSWORD", c.PasswordFile)
	if err != nil {
		return err
	}
	base, err := c.base()
	if err != nil {
		return err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encoding the request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return usagef("--addr: %w", err)
	}
	if in == nil {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if password != "" {
		req.Header.Set("Authorization", "Bearer "+password)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 35 * time.Second}}
	defer client.CloseIdleConnections()
	answer, err := client.Do(req)
	if err != nil {
		return unreachable(base, err)
	}
	defer func() { _ = answer.Body.Close() }() // only read
	return decodeAnswer(base, answer, out)
}

// base returns the node's URL without a slash at the end.
func (c clientFlags) base() (string, error) {
	addr := c.Addr
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", usagef("--addr: %q is not an address such as http://127.0.0.1:8379", c.Addr)
	}
	return u.Scheme + "://" + u.Host, nil
}

func unreachable(base string, err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers at %s: is the node running? Set --addr or HUDDLE_ADDR to the HTTP address of one that is", base)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s took too long to answer: see that node's log, or ask another node with --addr", base)
	}
	if failed, found := errors.AsType[*url.Error](err); found {
		err = failed.Err
	}
	return fmt.Errorf("asking %s: %w; set --addr or HUDDLE_ADDR to the HTTP address of a node", base, err)
}

// decodeAnswer tells an answer from a problem document, and both from what
// something else than a node sends.
func decodeAnswer(base string, answer *http.Response, out any) error {
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", base, err)
	}
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%s asks for a password: set HUDDLE_PASSWORD or HUDDLE_PASSWORD_FILE to the node's", base)
	case answer.StatusCode/100 == 2 && out == nil:
		return nil
	case answer.StatusCode/100 == 2:
		if err := json.Unmarshal(body, out); err != nil {
			return notANode(base)
		}
		return nil
	}
	refused := &refusal{}
	if json.Unmarshal(body, refused) != nil || refused.Title == "" {
		return notANode(base)
	}
	return refused
}

// A refusal is a problem document.
type refusal struct {
	Title, Detail string
	Report        string // what the node found out before it refused
}

func (r *refusal) Error() string { return cmp.Or(r.Detail, r.Title) }

func notANode(base string) error {
	return fmt.Errorf("what answers at %s is not a node of Huddle: set --addr or HUDDLE_ADDR to the HTTP address of one", base)
}
