package behaviour

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
	"github.com/huddlecache/huddle/internal/respclient"
	"github.com/huddlecache/huddle/sessions"
)

// A sessionDoor is a way to sessions. Each call goes to node i, and returns the
// errors of the Go API. A position is zero where the door has none.
type sessionDoor interface {
	save(i int, id, data string, o sessions.SaveOptions) (version uint64, at sessions.Position, err error)
	merge(i int, id, patch string, o sessions.SaveOptions) (version uint64, at sessions.Position, err error)
	load(i int, id string, touch bool, behind sessions.Position) (data string, version uint64, at sessions.Position, err error)
	destroy(i int, id, idem string) (err error)
	list(i int, user string, behind sessions.Position) (ids []string, err error)
	destroyAll(i int, user string) (count int, at sessions.Position, err error)
}

// forSessionDoors runs a test for each door, all at once.
func forSessionDoors(t *testing.T, test func(t *testing.T, d sessionDoor)) {
	t.Helper()
	w := cluster(t)
	for name, door := range map[string]sessionDoor{"go": goSessions{w, t}, "resp": respSessions{w, t}, "http": httpSessions{w, t}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, door)
		})
	}
}

// retry repeats a call that was not applied, or perhaps not: on a starved
// machine leaders change. Writes that are repeated have an idempotency key.
func retry(call func() error) error {
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := call()
		mayRepeat := errors.Is(err, machine.ErrNoQuorum) || errors.Is(err, machine.ErrOverloaded) || errors.Is(err, machine.ErrUnknown)
		if !mayRepeat || time.Since(start) > time.Minute {
			return err
		}
	}
}

// once returns an idempotency key: a new one if none is given.
func once(key string) string { return cmp.Or(key, rand.Text()) }

// goSessions is the Go API, in process.
type goSessions struct {
	w *world
	t *testing.T
}

func (d goSessions) at(i int) *sessions.Sessions { return d.w.nodes[i%len(d.w.nodes)].Sessions() }

func (d goSessions) save(i int, id, data string, o sessions.SaveOptions) (uint64, sessions.Position, error) {
	var saved sessions.Saved
	o.Idem = once(o.Idem)
	err := retry(func() (err error) { saved, err = d.at(i).Save(d.t.Context(), id, []byte(data), o); return err })
	return saved.Version, saved.At, err
}

func (d goSessions) merge(i int, id, patch string, o sessions.SaveOptions) (uint64, sessions.Position, error) {
	var saved sessions.Saved
	o.Idem = once(o.Idem)
	err := retry(func() (err error) { saved, err = d.at(i).Merge(d.t.Context(), id, []byte(patch), o); return err })
	return saved.Version, saved.At, err
}

func (d goSessions) load(i int, id string, touch bool, behind sessions.Position) (string, uint64, sessions.Position, error) {
	var got sessions.Session
	err := retry(func() (err error) {
		got, err = d.at(i).Load(d.t.Context(), id, sessions.LoadOptions{Touch: touch, Consistency: behind.Consistency()})
		return errors.Join(err, got.TouchErr)
	})
	return string(got.Data), got.Version, got.At, err
}

func (d goSessions) destroy(i int, id, idem string) error {
	idem = once(idem)
	return retry(func() error {
		_, err := d.at(i).Destroy(d.t.Context(), id, sessions.DestroyOptions{Idem: idem})
		return err
	})
}

func (d goSessions) list(i int, user string, behind sessions.Position) (ids []string, err error) {
	err = retry(func() error {
		got, err := d.at(i).List(d.t.Context(), user, behind.Consistency())
		ids = got.IDs
		return err
	})
	return ids, err
}

func (d goSessions) destroyAll(i int, user string) (int, sessions.Position, error) {
	var gone sessions.Destroyed
	idem := once("")
	err := retry(func() (err error) {
		gone, err = d.at(i).DestroyAll(d.t.Context(), user, sessions.DestroyOptions{Idem: idem})
		return err
	})
	return gone.Count, gone.At, err
}

// respSessions is Redis' protocol.
type respSessions struct {
	w *world
	t *testing.T
}

// do sends a command, behind IDEM if that is not empty.
func (d respSessions) do(i int, idem string, args ...string) (reply any, err error) {
	if idem != "" {
		args = append([]string{"IDEM", idem}, args...)
	}
	client := respclient.New(d.w.nodes[i%len(d.w.nodes)].RedisAddrs()[0].String(), 10*time.Second)
	defer client.Close()
	err = retry(func() error {
		reply, err = client.Do(args...)
		return respSessionError(err)
	})
	return reply, err
}

// respSessionError returns the Go API's error for a reply.
func respSessionError(err error) error {
	text := fmt.Sprint(err)
	for part, of := range map[string]error{
		"CLUSTERDOWN ": machine.ErrNoQuorum, "TRYAGAIN ": machine.ErrOverloaded, "TOOBIG ": machine.ErrTooBig,
		"UNAVAILABLE ": machine.ErrUnknown, "WRONGTYPE the session is no JSON object": sessions.ErrNotObject,
		"ERR the patch is no JSON object": sessions.ErrPatch, "ERR invalid argument": sessions.ErrInvalid,
		"ERR the idempotency key was used with another command": machine.ErrReused,
	} {
		if strings.HasPrefix(text, part) {
			return of
		}
	}
	return err
}

func (d respSessions) options(o sessions.SaveOptions) (args []string) {
	if o.TTL > 0 {
		args = append(args, "PX", strconv.FormatInt(o.TTL.Milliseconds(), 10))
	}
	if o.Limit > 0 {
		args = append(args, "ABS", strconv.FormatInt(o.Limit.Milliseconds(), 10))
	}
	return args
}

func (d respSessions) saved(reply any, err error) (uint64, sessions.Position, error) {
	if reply == nil && err == nil {
		err = sessions.ErrConflict
	}
	version, _ := reply.(int64)
	return uint64(version), sessions.Position{}, err
}

func (d respSessions) save(i int, id, data string, o sessions.SaveOptions) (uint64, sessions.Position, error) {
	args := append([]string{"SESSION.SET", id, data}, d.options(o)...)
	if o.User != "" {
		args = append(args, "user", o.User)
	}
	if text := fmt.Sprint(o.If); o.If == sessions.Absent() {
		args = append(args, "IFVER", "0")
	} else if o.If != (sessions.Condition{}) {
		args = append(args, "IFVER", strings.Trim(strings.Fields(text)[1], "}"))
	}
	return d.saved(d.do(i, once(o.Idem), args...))
}

func (d respSessions) merge(i int, id, patch string, o sessions.SaveOptions) (uint64, sessions.Position, error) {
	return d.saved(d.do(i, once(o.Idem), append([]string{"session.merge", id, patch}, d.options(o)...)...))
}

func (d respSessions) load(i int, id string, touch bool, _ sessions.Position) (string, uint64, sessions.Position, error) {
	args := []string{"SESSION.GET", id}
	if touch {
		args = append(args, "TOUCH")
	}
	reply, err := d.do(i, "", args...)
	if reply == nil && err == nil {
		err = sessions.ErrNotFound
	}
	if err != nil {
		return "", 0, sessions.Position{}, err
	}
	pair := reply.([]any)
	return pair[0].(string), uint64(pair[1].(int64)), sessions.Position{}, nil
}

func (d respSessions) destroy(i int, id, idem string) error {
	_, err := d.do(i, once(idem), "SESSION.DEL", id)
	return err
}

func (d respSessions) list(i int, user string, _ sessions.Position) (ids []string, err error) {
	reply, err := d.do(i, "", "SESSION.LIST", "USER", user)
	if err != nil {
		return nil, err
	}
	for _, id := range reply.([]any) {
		ids = append(ids, id.(string))
	}
	return ids, nil
}

func (d respSessions) destroyAll(i int, user string) (int, sessions.Position, error) {
	reply, err := d.do(i, once(""), "SESSION.DELALL", "USER", user)
	count, _ := reply.(int64)
	return int(count), sessions.Position{}, err
}

// httpSessions is HTTP.
type httpSessions struct {
	w *world
	t *testing.T
}

// do sends a request. Headers are "Name: value".
func (d httpSessions) do(i int, method, path, body string, headers ...string) (response *http.Response, content string, err error) {
	err = retry(func() error {
		r, err := http.NewRequestWithContext(d.t.Context(), method, d.w.url(i)+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		for _, header := range headers {
			if name, value, _ := strings.Cut(header, ": "); value != "" {
				r.Header.Set(name, value)
			}
		}
		if response, err = http.DefaultClient.Do(r); err != nil {
			return err
		}
		defer response.Body.Close()
		all, err := io.ReadAll(response.Body)
		content = string(all)
		return errors.Join(err, httpSessionError(response, all))
	})
	return response, content, err
}

// httpSessionError returns the Go API's error for a problem.
func httpSessionError(r *http.Response, body []byte) error {
	if r.StatusCode < 300 {
		return nil
	}
	var problem struct{ Type, Detail string }
	if err := json.Unmarshal(body, &problem); err != nil || r.Header.Get("Content-Type") != "application/problem+json" {
		return fmt.Errorf("%s is no problem document: %s", r.Status, body)
	}
	kind := problem.Type[strings.LastIndexByte(problem.Type, '/')+1:]
	for name, of := range map[string]error{
		"404 not-found": sessions.ErrNotFound, "412 version-mismatch": sessions.ErrConflict, "409 not-an-object": sessions.ErrNotObject,
		"503 no-quorum": machine.ErrNoQuorum, "503 overloaded": machine.ErrOverloaded, "504 unknown": machine.ErrUnknown,
		"413 too-big": machine.ErrTooBig, "422 idempotency-key-reused": machine.ErrReused,
	} {
		if name == fmt.Sprint(r.StatusCode, " ", kind) {
			return of
		}
	}
	if kind == "malformed" && strings.Contains(problem.Detail, sessions.ErrPatch.Error()) {
		return sessions.ErrPatch
	}
	if kind == "malformed" {
		return fmt.Errorf("%w: %d %s", sessions.ErrInvalid, r.StatusCode, body)
	}
	return fmt.Errorf("%s: %s", r.Status, body)
}

// sessionPath is the path of a session, dots escaped too.
func sessionPath(id string) string {
	return "/v1/sessions/" + strings.ReplaceAll(url.PathEscape(id), ".", "%2E")
}

func (d httpSessions) store(method string, i int, id, data string, o sessions.SaveOptions) (uint64, sessions.Position, error) {
	query := url.Values{}
	if o.TTL > 0 {
		query.Set("ttl", o.TTL.String())
	}
	if o.Limit > 0 {
		query.Set("absolute", o.Limit.String())
	}
	if o.User != "" {
		query.Set("user", o.User)
	}
	header := ""
	switch {
	case o.If == sessions.Absent():
		header = "If-None-Match: *"
	case o.If == sessions.Present():
		header = "If-Match: *"
	case o.If != (sessions.Condition{}):
		header = `If-Match: "` + strings.Trim(strings.Fields(fmt.Sprint(o.If))[1], "}") + `"`
	}
	r, _, err := d.do(i, method, sessionPath(id)+"?"+query.Encode(), data, header, "Idempotency-Key: "+once(o.Idem))
	if err != nil {
		return 0, sessions.Position{}, err
	}
	return httpVersion(r), httpPosition(d.t, r), nil
}

func httpVersion(r *http.Response) uint64 {
	version, _ := strconv.ParseUint(strings.Trim(r.Header.Get("ETag"), `"`), 10, 64)
	return version
}

func httpPosition(t *testing.T, r *http.Response) sessions.Position {
	t.Helper()
	at, err := sessions.ParsePosition(r.Header.Get("Huddle-Index"))
	if err != nil || at.Index == 0 {
		t.Errorf("Huddle-Index is %q: %v", r.Header.Get("Huddle-Index"), err)
	}
	return at
}

func (d httpSessions) save(i int, id, data string, o sessions.SaveOptions) (uint64, sessions.Position, error) {
	return d.store(http.MethodPut, i, id, data, o)
}

func (d httpSessions) merge(i int, id, patch string, o sessions.SaveOptions) (uint64, sessions.Position, error) {
	return d.store(http.MethodPatch, i, id, patch, o)
}

func (d httpSessions) load(i int, id string, touch bool, behind sessions.Position) (string, uint64, sessions.Position, error) {
	path := sessionPath(id)
	if touch {
		path += "?touch=true"
	}
	var r *http.Response
	var body string
	err := retry(func() (err error) {
		r, body, err = d.do(i, http.MethodGet, path, "", "Huddle-Index: "+behind.String())
		if err == nil && r.Header.Get("Huddle-Touched") == "false" {
			return machine.ErrUnknown
		}
		return err
	})
	if err != nil {
		return "", 0, sessions.Position{}, err
	}
	if got := r.Header.Get("Huddle-Touched"); (got == "true") != touch {
		d.t.Errorf("Huddle-Touched is %q", got)
	}
	return body, httpVersion(r), httpPosition(d.t, r), nil
}

func (d httpSessions) destroy(i int, id, idem string) error {
	r, body, err := d.do(i, http.MethodDelete, sessionPath(id), "", "Idempotency-Key: "+once(idem))
	if err == nil && (r.StatusCode != http.StatusNoContent || body != "") {
		return fmt.Errorf("got %s with %q", r.Status, body)
	}
	return err
}

func (d httpSessions) list(i int, user string, behind sessions.Position) (ids []string, err error) {
	_, body, err := d.do(i, http.MethodGet, "/v1/sessions?user="+url.QueryEscape(user), "", "Huddle-Index: "+behind.String())
	if err != nil {
		return nil, err
	}
	var list struct{ Sessions []struct{ ID, Path string } }
	decoder := json.NewDecoder(bytes.NewReader([]byte(body)))
	if err := decoder.Decode(&list); err != nil {
		return nil, err
	}
	for _, s := range list.Sessions {
		id, err := url.PathUnescape(strings.TrimPrefix(s.Path, "/v1/sessions/"))
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (d httpSessions) destroyAll(i int, user string) (int, sessions.Position, error) {
	r, body, err := d.do(i, http.MethodDelete, "/v1/sessions?user="+url.QueryEscape(user), "", "Idempotency-Key: "+once(""))
	if err != nil {
		return 0, sessions.Position{}, err
	}
	var gone struct{ Destroyed int }
	err = json.Unmarshal([]byte(body), &gone)
	return gone.Destroyed, httpPosition(d.t, r), err
}
