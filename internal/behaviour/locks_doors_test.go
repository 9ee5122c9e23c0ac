package behaviour

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/huddlecache/huddle/internal/respclient"
	"github.com/huddlecache/huddle/locks"
)

// A lockDoor is one way to the locks, through node i of the cluster. Its
// errors wrap those of package locks.
type lockDoor interface {
	// acquire's client hangs up when the context ends.
	acquire(ctx context.Context, i int, name string, o locks.Options) (locks.Lease, error)
	renew(i int, name string, lease uint64, ttl time.Duration) error
	release(i int, name string, lease uint64, idem string) error
	info(i int, name string) (locks.Info, error)
}

// forLockDoors runs a test through every door.
func forLockDoors(t *testing.T, run func(t *testing.T, d lockDoor)) {
	t.Helper()
	w := cluster(t)
	for name, door := range map[string]lockDoor{"Go": lockGo{w}, "RESP": lockRESP{w}, "HTTP": lockHTTP{w}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, door)
		})
	}
}

type lockGo struct{ w *world }

func (d lockGo) at(i int) *locks.Locks { return d.w.nodes[i%len(d.w.nodes)].Locks() }

func (d lockGo) acquire(ctx context.Context, i int, name string, o locks.Options) (locks.Lease, error) {
	return d.at(i).AcquireLease(ctx, name, o)
}

func (d lockGo) renew(i int, name string, lease uint64, ttl time.Duration) error {
	_, err := d.at(i).Renew(context.Background(), name, lease, ttl)
	return err
}

func (d lockGo) release(i int, name string, lease uint64, idem string) error {
	wasHeld, err := d.at(i).Release(context.Background(), name, lease, idem)
	if err == nil && !wasHeld {
		err = locks.ErrLost
	}
	return err
}

func (d lockGo) info(i int, name string) (locks.Info, error) {
	return d.at(i).Info(context.Background(), name)
}

type lockRESP struct{ w *world }

// do sends a command over a connection of its own.
func (d lockRESP) do(i int, most time.Duration, idem string, args ...string) (any, error) {
	c := respclient.New(d.w.nodes[i%len(d.w.nodes)].RedisAddrs()[0].String(), most)
	defer c.Close()
	if idem != "" {
		args = append([]string{"IDEM", idem}, args...)
	}
	reply, err := c.Do(args...)
	if failure, found := errors.AsType[respclient.Error](err); found && strings.HasPrefix(string(failure), "ERR ") {
		err = fmt.Errorf("%w: %w", locks.ErrInvalid, err)
	}
	return reply, err
}

const answerTime = 10 * time.Second

func (d lockRESP) acquire(ctx context.Context, i int, name string, o locks.Options) (l locks.Lease, err error) {
	args := []string{"LOCK.ACQUIRE", name, "PX", millis(o.TTL), "WAIT", millis(o.Wait)}
	if o.Owner != "" {
		args = append(args, "OWNER", o.Owner)
	}
	if o.Shared {
		args = append(args, "SHARED")
	}
	if o.Slots > 0 {
		args = append(args, "SLOTS", strconv.Itoa(o.Slots))
	}
	most := answerTime
	if end, found := ctx.Deadline(); found {
		most = time.Until(end)
	}
	reply, err := d.do(i, most, o.Idem, args...)
	switch {
	case err != nil:
		return l, err
	case reply == nil:
		return l, locks.ErrNotAcquired
	}
	parts, isArray := reply.([]any)
	if !isArray || len(parts) != 3 {
		return l, fmt.Errorf("got %v", reply)
	}
	l.ID, err = strconv.ParseUint(parts[0].(string), 10, 64)
	l.Token = uint64(parts[1].(int64))
	l.Left = time.Duration(parts[2].(int64)) * time.Millisecond
	return l, err
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func (d lockRESP) renew(i int, name string, lease uint64, ttl time.Duration) error {
	reply, err := d.do(i, answerTime, "", "LOCK.RENEW", name, strconv.FormatUint(lease, 10), "PX", millis(ttl))
	return heldOr(reply, err)
}

func (d lockRESP) release(i int, name string, lease uint64, idem string) error {
	reply, err := d.do(i, answerTime, idem, "LOCK.RELEASE", name, strconv.FormatUint(lease, 10))
	return heldOr(reply, err)
}

func heldOr(reply any, err error) error {
	switch {
	case err != nil:
		return err
	case reply == int64(0):
		return locks.ErrLost
	case reply != int64(1):
		return fmt.Errorf("got %v", reply)
	}
	return nil
}

func (d lockRESP) info(i int, name string) (info locks.Info, err error) {
	reply, err := d.do(i, answerTime, "", "LOCK.INFO", name)
	if err != nil {
		return info, err
	}
	parts := reply.([]any)
	info.Waiters = int(parts[1].(int64))
	for _, h := range parts[0].([]any) {
		h := h.([]any)
		slots := int(h[3].(int64))
		info.Holders = append(info.Holders, locks.Holder{
			Owner: h[0].(string), Token: uint64(h[1].(int64)),
			Left: time.Duration(h[2].(int64)) * time.Millisecond, Slots: slots, Shared: slots == 0,
		})
	}
	return info, nil
}

type lockHTTP struct{ w *world }

// do makes a call. A problem is the error that it stands for.
func (d lockHTTP) do(ctx context.Context, i int, method, name, query, idem string, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	path := d.w.url(i) + "/v1/locks/" + strings.ReplaceAll(url.PathEscape(name), ".", "%2E") + query
	r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	if in == nil {
		r.Body = http.NoBody
	}
	r.Header.Set("Content-Type", "application/json")
	if idem != "" {
		r.Header.Set("Idempotency-Key", idem)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	if answer.StatusCode/100 == 2 {
		if out == nil {
			return nil
		}
		return json.NewDecoder(answer.Body).Decode(out)
	}
	var p struct {
		Type, Detail string
		Holder       *struct{ Owner string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&p); err != nil {
		return err
	}
	kind := p.Type[strings.LastIndex(p.Type, "/")+1:]
	switch {
	case kind == "lock-held" && answer.StatusCode == http.StatusConflict:
		failure := &locks.NotAcquiredError{Name: name}
		if p.Holder != nil {
			failure.Holder.Owner = p.Holder.Owner
		}
		return failure
	case kind == "lock-lost" && answer.StatusCode == http.StatusConflict:
		return locks.ErrLost
	case kind == "malformed" && answer.StatusCode/100 == 4:
		return fmt.Errorf("%w: %s", locks.ErrInvalid, p.Detail)
	}
	return fmt.Errorf("%s: %+v", answer.Status, p)
}

func (d lockHTTP) acquire(ctx context.Context, i int, name string, o locks.Options) (l locks.Lease, err error) {
	in := map[string]any{"ttl": o.TTL.String(), "wait": o.Wait.String(), "owner": o.Owner, "shared": o.Shared}
	if o.Slots != 0 {
		in["slots"] = o.Slots
	}
	var out struct {
		Lease, TTL string
		Token      uint64
	}
	if err := d.do(ctx, i, http.MethodPost, name, "", o.Idem, in, &out); err != nil {
		return l, err
	}
	l.Token = out.Token
	l.ID, err = strconv.ParseUint(out.Lease, 10, 64)
	if err == nil {
		l.Left, err = time.ParseDuration(out.TTL)
	}
	return l, err
}

func (d lockHTTP) renew(i int, name string, lease uint64, ttl time.Duration) error {
	in := map[string]string{"lease": strconv.FormatUint(lease, 10), "ttl": ttl.String()}
	var out struct{ Lease, TTL string }
	err := d.do(context.Background(), i, http.MethodPut, name, "", "", in, &out)
	if left, _ := time.ParseDuration(out.TTL); err == nil && (left <= 0 || left >= ttl || out.Lease != in["lease"]) {
		return fmt.Errorf("renewed to %+v", out)
	}
	return err
}

func (d lockHTTP) release(i int, name string, lease uint64, idem string) error {
	return d.do(context.Background(), i, http.MethodDelete, name, fmt.Sprintf("?lease=%d", lease), idem, nil, nil)
}

func (d lockHTTP) info(i int, name string) (info locks.Info, err error) {
	var out struct {
		Holders []struct {
			Owner, TTL string
			Token      uint64
			Slots      int
			Shared     bool
		}
		Waiters int
	}
	if err := d.do(context.Background(), i, http.MethodGet, name, "", "", nil, &out); err != nil {
		return info, err
	}
	info.Waiters = out.Waiters
	for _, h := range out.Holders {
		left, err := time.ParseDuration(h.TTL)
		if err != nil {
			return info, err
		}
		info.Holders = append(info.Holders, locks.Holder{Owner: h.Owner, Token: h.Token, Left: left, Slots: h.Slots, Shared: h.Shared})
	}
	return info, nil
}
