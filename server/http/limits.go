package http

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/huddlecache/huddle/counters"
)

// LimitCall is what is asked of a limit. It has a capital, as LimitAnswer has,
// because huma overlooks embedded types that have none.
type LimitCall struct {
	Algorithm string `json:"algorithm" enum:"fixed-window,sliding-window,token-bucket"`
	Limit     int64  `json:"limit" minimum:"1" maximum:"1000000000000" doc:"how much there is in a window; of a bucket, how much it gets in that time"`
	Window    string `json:"window" example:"1m" doc:"from 1ms to 8784h"`
	Burst     int64  `json:"burst,omitempty" minimum:"1" maximum:"1000000000000" doc:"what a token-bucket holds; its limit if not given"`
	Cost      *int64 `json:"cost,omitempty" minimum:"0" maximum:"1000000000000" doc:"what the call takes, 1 if not given; 0 takes nothing and says how things are"`
}

// namedLimitCall is one of several.
type namedLimitCall struct {
	Name string `json:"name" minLength:"1" maxLength:"1024"`
	LimitCall
}

// limitsCall is the body of POST /v1/limits.
type limitsCall struct {
	Limits []namedLimitCall `json:"limits" minItems:"1" maxItems:"64" doc:"of different names; something is taken from all of them or from none"`
}

// LimitAnswer is what a limit says to a call.
type LimitAnswer struct {
	Allowed    bool  `json:"allowed"`
	Limit      int64 `json:"limit" doc:"what there can be at most"`
	Remaining  int64 `json:"remaining" doc:"what there is, after the call"`
	RetryAfter int64 `json:"retry_after" doc:"seconds, rounded up, until there is enough; 0 where there is, -1 where the cost is over the limit"`
	ResetAfter int64 `json:"reset_after" doc:"seconds, rounded up, until all is there again"`
}

// namedLimitAnswer is one of several.
type namedLimitAnswer struct {
	Name string `json:"name"`
	LimitAnswer
}

// limitsAnswer is the answer to POST /v1/limits.
type limitsAnswer struct {
	Allowed    bool               `json:"allowed" doc:"by all of them"`
	RetryAfter int64              `json:"retry_after" doc:"the longest of all"`
	Limits     []namedLimitAnswer `json:"limits" doc:"in the order of the call, each as if it stood alone"`
}

// limited is an answer of status 200 or 429.
type limited[T any] struct {
	Status     int
	RateLimit  string `header:"RateLimit" doc:"draft-ietf-httpapi-ratelimit-headers"`
	Policy     string `header:"RateLimit-Policy"`
	RetryAfter string `header:"Retry-After" doc:"seconds, where the call was denied and can ever be admitted"`
	Body       T
}

// limitCalls registers the limits.
func (s *Server) limitCalls(api huma.API) {
	tags := []string{"limits"}
	huma.Register(api, huma.Operation{
		OperationID: "take", Method: http.MethodPost, Path: "/v1/limits/{name}", Tags: tags, MaxBodyBytes: maxBody,
		Summary:     "Takes from a limit, if there is enough",
		Description: "Answers 200 or 429, both with the same body. A call with another algorithm, limit, window or burst than the one before starts the limit anew.",
		Errors:      writeErrors(http.StatusTooManyRequests),
	}, s.take)
	huma.Register(api, huma.Operation{
		OperationID: "take-all", Method: http.MethodPost, Path: "/v1/limits", Tags: tags, MaxBodyBytes: maxLimitsBody,
		Summary: "Takes from several limits, or from none of them", Errors: writeErrors(http.StatusTooManyRequests),
	}, s.takeAll)
	huma.Register(api, huma.Operation{
		OperationID: "reset-limit", Method: http.MethodDelete, Path: "/v1/limits/{name}", Tags: tags,
		DefaultStatus: http.StatusNoContent,
		Summary:       "Makes a limit as new", Errors: writeErrors(),
	}, s.resetLimit)
}

// maxLimitsBody has room for all the limits of a call, with names of any bytes.
const maxLimitsBody = 512 << 10

func (s *Server) take(ctx context.Context, in *struct {
	Name string `path:"name" maxLength:"1024"`
	Idem string `header:"Idempotency-Key" maxLength:"256" doc:"within ten minutes, calls with the same key take effect once and get the same answer; a denial is not remembered"`
	Body LimitCall
},
) (*limited[LimitAnswer], error) {
	limit, err := in.Body.limit(in.Name)
	if err != nil {
		return nil, problemOf(err)
	}
	isPeek := in.Body.Cost != nil && *in.Body.Cost == 0
	results, err := s.takeLimits(ctx, []counters.Limit{limit}, isPeek, in.Idem)
	if err != nil {
		return nil, problemOf(err)
	}
	out := answerLimits[LimitAnswer]([]counters.Limit{limit}, results)
	out.Body = answerLimit(results[0])
	return out, nil
}

func (s *Server) takeAll(ctx context.Context, in *struct {
	Idem string `header:"Idempotency-Key" maxLength:"256" doc:"within ten minutes, calls with the same key take effect once and get the same answer; a denial is not remembered"`
	Body limitsCall
},
) (*limited[limitsAnswer], error) {
	limits := make([]counters.Limit, len(in.Body.Limits))
	for i, call := range in.Body.Limits {
		var err error
		if limits[i], err = call.limit(call.Name); err != nil {
			return nil, problemOf(err)
		}
	}
	isPeek, err := in.Body.isPeek()
	if err != nil {
		return nil, problemOf(err)
	}
	results, err := s.takeLimits(ctx, limits, isPeek, in.Idem)
	if err != nil {
		return nil, problemOf(err)
	}
	out := answerLimits[limitsAnswer](limits, results)
	out.Body = limitsAnswer{Allowed: counters.Admitted(results), RetryAfter: roundUp(counters.RetryAfter(results))}
	for i, r := range results {
		out.Body.Limits = append(out.Body.Limits, namedLimitAnswer{limits[i].Name, answerLimit(r)})
	}
	return out, nil
}

// isPeek reports whether all costs are 0, which takes nothing.
func (c limitsCall) isPeek() (bool, error) {
	looks := 0
	for _, call := range c.Limits {
		if call.Cost != nil && *call.Cost == 0 {
			looks++
		}
	}
	if looks != 0 && looks != len(c.Limits) {
		return false, fmt.Errorf("%w: a cost of 0 only looks, and goes with no other cost", errMalformed)
	}
	return looks != 0, nil
}

func (s *Server) takeLimits(ctx context.Context, limits []counters.Limit, isPeek bool, idem string) ([]counters.Result, error) {
	if isPeek {
		return s.cfg.Counting.Peek(ctx, limits...)
	}
	return s.cfg.Counting.TakeAll(ctx, counters.WriteOptions{Idem: idem}, limits...)
}

func (s *Server) resetLimit(ctx context.Context, in *struct {
	Name string `path:"name" maxLength:"1024"`
	Idem string `header:"Idempotency-Key" maxLength:"256" doc:"within ten minutes, calls with the same key take effect once and get the same answer; a denial is not remembered"`
},
) (*struct{}, error) {
	if _, err := s.cfg.Counting.Reset(ctx, in.Name, counters.WriteOptions{Idem: in.Idem}); err != nil {
		return nil, problemOf(err)
	}
	return &struct{}{}, nil
}

// limit is the limit that a call is about.
func (c LimitCall) limit(name string) (counters.Limit, error) {
	algorithm, err := counters.ParseAlgorithm(c.Algorithm)
	if err != nil {
		return counters.Limit{}, err
	}
	window, err := duration("window", c.Window)
	if err != nil {
		return counters.Limit{}, err
	}
	limit := counters.Limit{Name: name, Algorithm: algorithm, Limit: c.Limit, Window: window, Burst: c.Burst}
	if c.Cost != nil {
		limit.Cost = *c.Cost
	}
	return limit, nil
}

// answerLimits makes an answer without its body.
func answerLimits[T any](limits []counters.Limit, results []counters.Result) *limited[T] {
	header := http.Header{}
	counters.SetHeaders(header, limits, results)
	out := &limited[T]{
		Status: http.StatusOK, RateLimit: header.Get("RateLimit"), Policy: header.Get("RateLimit-Policy"),
		RetryAfter: header.Get("Retry-After"),
	}
	if !counters.Admitted(results) {
		out.Status = http.StatusTooManyRequests
	}
	return out
}

func answerLimit(r counters.Result) LimitAnswer {
	return LimitAnswer{
		Allowed: r.Allowed, Limit: r.Limit, Remaining: r.Remaining,
		RetryAfter: roundUp(r.RetryAfter), ResetAfter: roundUp(r.ResetAfter),
	}
}

// roundUp gives a time in whole seconds, so that nobody comes back too early;
// counters.Never is -1.
func roundUp(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return int64((d + time.Second - 1) / time.Second)
}
