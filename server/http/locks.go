package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/huddlecache/huddle/locks"
)

// waitMost is how long a call may wait for a lock.
const waitMost = time.Hour

// lockCalls registers the calls of the locks.
func (s *Server) lockCalls(api huma.API) {
	tags := []string{"locks"}
	unavailable := []int{http.StatusUnauthorized, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
	huma.Register(api, huma.Operation{
		OperationID: "acquire-lock", Method: http.MethodPost, Path: "/v1/locks/{name}", Tags: tags, MaxBodyBytes: maxBody,
		Summary:     "Acquires a lock",
		Description: "Whoever waits is served in the order in which they came, on whichever node. The lease ends by itself unless it is renewed; the token is to be shown to what the lock protects, which must refuse a lower one than it has seen. A client that waited renews the lease before it relies on it. At most 10,000 wait for one lock.",
		Errors:      append([]int{http.StatusConflict, http.StatusInsufficientStorage}, unavailable...),
	}, s.acquireLock)
	huma.Register(api, huma.Operation{
		OperationID: "renew-lock", Method: http.MethodPut, Path: "/v1/locks/{name}", Tags: tags, MaxBodyBytes: maxBody,
		Summary: "Renews a lease: it ends the given time from now",
		Errors:  append([]int{http.StatusConflict, http.StatusInsufficientStorage}, unavailable...),
	}, s.renewLock)
	huma.Register(api, huma.Operation{
		OperationID: "release-lock", Method: http.MethodDelete, Path: "/v1/locks/{name}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Gives a lease back",
		Errors:  append([]int{http.StatusConflict}, unavailable...),
	}, s.releaseLock)
	huma.Register(api, huma.Operation{
		OperationID: "lock", Method: http.MethodGet, Path: "/v1/locks/{name}", Tags: tags,
		Summary: "Who has a lock, and how many wait", Errors: unavailable,
	}, s.showLock)
}

// lockWish is the body of POST /v1/locks/{name}.
type lockWish struct {
	TTL    string `json:"ttl,omitempty" doc:"how long the lease lasts unless it is renewed, 10s where it is not set" example:"10s"`
	Wait   string `json:"wait,omitempty" doc:"how long to wait for the lock, not at all where it is not set, 1h at most" example:"5s"`
	Owner  string `json:"owner,omitempty" doc:"shown to those who ask who has the lock"`
	Slots  int    `json:"slots,omitempty" doc:"how many may have the lock at a time, 1 where it is not set"`
	Shared bool   `json:"shared,omitempty" doc:"have it beside all others who share it"`
}

func (w *lockWish) options() (o locks.Options, err error) {
	o = locks.Options{Owner: w.Owner, Slots: w.Slots, Shared: w.Shared}
	if o.TTL, err = lockTime("ttl", w.TTL); err != nil {
		return o, err
	}
	if o.Wait, err = lockTime("wait", w.Wait); err == nil && o.Wait > waitMost {
		err = fmt.Errorf("%w: wait: %s is more than %s", locks.ErrInvalid, o.Wait, waitMost)
	}
	return o, err
}

// lockTime reads a duration. What is not set is zero.
func lockTime(field, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%w: %s: %q is not a duration such as 500ms, 10s or 1m", locks.ErrInvalid, field, text)
	}
	return d, nil
}

// acquireCall is POST /v1/locks/{name}.
type acquireCall struct {
	Name string `path:"name"`
	Idem string `header:"Idempotency-Key" maxLength:"256" doc:"a call that is repeated with the same key within ten minutes gets the same lease"`
	Body *lockWish
}

// Resolve lets a call wait for longer than others may take, and look for
// whether its client is still there meanwhile: a connection whose time to be
// read is over counts as gone.
func (in *acquireCall) Resolve(ctx huma.Context) []error {
	if in.Body == nil || in.Body.Wait == "" {
		return nil
	}
	o, err := in.Body.options()
	if err != nil {
		return nil // the call will say so
	}
	_, w := humago.Unwrap(ctx)
	control := http.NewResponseController(w)
	// Of a connection that is broken the context tells.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Now().Add(o.Wait + writeTimeout))
	return nil
}

// A leaseAnswer is a lease that is held. The time to live is what was left when
// the answer was sent. How long that was on its way the client cannot know; so
// it is certain of that time from when it sent the call only, which may be over
// after a wait. A renewal, which never waits, makes it certain.
type leaseAnswer struct {
	Lease string `json:"lease" doc:"to renew and to release it with"`
	Token uint64 `json:"token" doc:"fencing number: higher than that of all holders before"`
	TTL   string `json:"ttl" doc:"what was left when the answer was sent; certain, however long that took, counted from when the call was sent. Where the call waited, renew the lease before relying on it, and count from that call" example:"9.99s"`
}

func (s *Server) acquireLock(ctx context.Context, in *acquireCall) (*body[leaseAnswer], error) {
	wish := in.Body
	if wish == nil {
		wish = &lockWish{}
	}
	o, err := wish.options()
	if err != nil {
		return nil, problemOf(err)
	}
	o.Idem = in.Idem
	lease, err := s.cfg.Locks.AcquireLease(ctx, in.Name, o)
	if held, isHeld := errors.AsType[*locks.NotAcquiredError](err); isHeld {
		return nil, newLockProblem(held)
	}
	if err != nil {
		return nil, problemOf(err)
	}
	return &body[leaseAnswer]{leaseAnswer{strconv.FormatUint(lease.ID, 10), lease.Token, lease.Left.String()}}, nil
}

// A lockProblem is a problem document that says who has the lock.
type lockProblem struct {
	*problem
	Holder *lockHolder `json:"holder,omitempty"`
}

func newLockProblem(err *locks.NotAcquiredError) *lockProblem {
	p := &lockProblem{problem: problemOf(err)}
	if err.Holder != (locks.Holder{}) {
		h := lockHolderOf(err.Holder)
		p.Holder = &h
	}
	return p
}

// renewal is the body of PUT /v1/locks/{name}.
type renewal struct {
	Lease string `json:"lease"`
	TTL   string `json:"ttl,omitempty" doc:"10s where it is not set" example:"10s"`
}

// renewed answers a renewal.
type renewed struct {
	Lease string `json:"lease"`
	TTL   string `json:"ttl" doc:"what the holder may count on, from when it sent the call" example:"9.99s"`
}

func (s *Server) renewLock(ctx context.Context, in *struct {
	Name string `path:"name"`
	Body renewal
},
) (*body[renewed], error) {
	ttl, err := lockTime("ttl", in.Body.TTL)
	if err != nil {
		return nil, problemOf(err)
	}
	if in.Body.TTL == "" {
		ttl = locks.DefaultTTL
	}
	left, err := s.cfg.Locks.Renew(ctx, in.Name, leaseOf(in.Body.Lease), ttl)
	if err != nil {
		return nil, problemOf(err)
	}
	return &body[renewed]{renewed{in.Body.Lease, left.String()}}, nil
}

// leaseOf reads a lease. What is none is one that nobody has.
func leaseOf(text string) uint64 {
	lease, _ := strconv.ParseUint(text, 10, 64)
	return lease
}

func (s *Server) releaseLock(ctx context.Context, in *struct {
	Name  string `path:"name"`
	Lease string `query:"lease" required:"true"`
	Idem  string `header:"Idempotency-Key" maxLength:"256" doc:"a call that is repeated with the same key within ten minutes has the same answer"`
},
) (*struct{}, error) {
	wasHeld, err := s.cfg.Locks.Release(ctx, in.Name, leaseOf(in.Lease), in.Idem)
	if err == nil && !wasHeld {
		err = locks.ErrLost
	}
	if err != nil {
		return nil, problemOf(err)
	}
	return &struct{}{}, nil
}

// lockState answers GET /v1/locks/{name}.
type lockState struct {
	Holders []lockHolder `json:"holders" nullable:"false" doc:"a thousand at most"`
	Waiters int          `json:"waiters"`
}

// A lockHolder has a lock. It has no token where the lock is just being handed
// over to it.
type lockHolder struct {
	Owner  string `json:"owner"`
	Token  uint64 `json:"token,omitempty"`
	TTL    string `json:"ttl" doc:"until the lease ends, unless it is renewed" example:"7.3s"`
	Slots  int    `json:"slots,omitempty" doc:"how many may have the lock at a time, in this holder's eyes"`
	Shared bool   `json:"shared,omitempty"`
}

func lockHolderOf(h locks.Holder) lockHolder {
	return lockHolder{h.Owner, h.Token, h.Left.Round(time.Millisecond).String(), h.Slots, h.Shared}
}

func (s *Server) showLock(ctx context.Context, in *struct {
	Name string `path:"name"`
},
) (*body[lockState], error) {
	info, err := s.cfg.Locks.Info(ctx, in.Name)
	if err != nil {
		return nil, problemOf(err)
	}
	state := lockState{Holders: []lockHolder{}, Waiters: info.Waiters}
	for _, h := range info.Holders {
		state.Holders = append(state.Holders, lockHolderOf(h))
	}
	return &body[lockState]{state}, nil
}
