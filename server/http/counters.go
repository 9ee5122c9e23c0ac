package http

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/huddlecache/huddle/counters"
)

// writeErrors are what any call that changes something may answer.
func writeErrors(more ...int) []int {
	return append([]int{
		http.StatusUnauthorized, http.StatusUnprocessableEntity, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout, http.StatusInsufficientStorage,
	}, more...)
}

// addCall is the body of POST /v1/counters/{name}.
type addCall struct {
	Add *int64 `json:"add,omitempty" doc:"what to add, 1 if not given; may be negative"`
	TTL string `json:"ttl,omitempty" example:"1h" doc:"ends a counter that has no end yet: as a rule the one that this call creates; an end that is set stays"`
}

// counterAnswer is what there is of a counter.
type counterAnswer struct {
	Value int64  `json:"value"`
	TTL   string `json:"ttl,omitempty" doc:"time left, as a Go duration; not there where the counter has no end, and not after an add"`
}

// counterCalls registers the counters.
func (s *Server) counterCalls(api huma.API) {
	tags := []string{"counters"}
	huma.Register(api, huma.Operation{
		OperationID: "add", Method: http.MethodPost, Path: "/v1/counters/{name}", Tags: tags, MaxBodyBytes: maxBody,
		Summary: "Adds to a counter, which is 0 before", Errors: writeErrors(http.StatusConflict),
	}, s.addToCounter)
	huma.Register(api, huma.Operation{
		OperationID: "counter", Method: http.MethodGet, Path: "/v1/counters/{name}", Tags: tags,
		Summary: "The value of a counter", Errors: []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusServiceUnavailable},
	}, s.counter)
	huma.Register(api, huma.Operation{
		OperationID: "delete-counter", Method: http.MethodDelete, Path: "/v1/counters/{name}", Tags: tags,
		DefaultStatus: http.StatusNoContent,
		Summary:       "Removes a counter, if there is one", Errors: writeErrors(),
	}, s.deleteCounter)
}

func (s *Server) addToCounter(ctx context.Context, in *struct {
	Name string `path:"name" maxLength:"1024"`
	Idem string `header:"Idempotency-Key" maxLength:"256" doc:"within ten minutes, calls with the same key take effect once and get the same answer"`
	Body *addCall
},
) (*body[counterAnswer], error) {
	n, o := int64(1), counters.AddOptions{Idem: in.Idem}
	if in.Body != nil && in.Body.Add != nil {
		n = *in.Body.Add
	}
	if in.Body != nil && in.Body.TTL != "" {
		ttl, err := duration("ttl", in.Body.TTL)
		if err != nil {
			return nil, problemOf(err)
		}
		o.TTL = ttl
	}
	value, err := s.cfg.Counting.Add(ctx, in.Name, n, o)
	if err != nil {
		return nil, problemOf(err)
	}
	return &body[counterAnswer]{counterAnswer{Value: value}}, nil
}

func (s *Server) counter(ctx context.Context, in *struct {
	Name string `path:"name" maxLength:"1024"`
},
) (*body[counterAnswer], error) {
	counter, found, err := s.cfg.Counting.Get(ctx, in.Name)
	if err == nil && !found {
		err = errNotFound
	}
	if err != nil {
		return nil, problemOf(err)
	}
	answer := counterAnswer{Value: counter.Value}
	if counter.TTL > 0 {
		answer.TTL = max(counter.TTL.Truncate(time.Millisecond), time.Millisecond).String()
	}
	return &body[counterAnswer]{answer}, nil
}

func (s *Server) deleteCounter(ctx context.Context, in *struct {
	Name string `path:"name" maxLength:"1024"`
	Idem string `header:"Idempotency-Key" maxLength:"256" doc:"within ten minutes, calls with the same key take effect once and get the same answer"`
},
) (*struct{}, error) {
	if _, err := s.cfg.Counting.Delete(ctx, in.Name, counters.WriteOptions{Idem: in.Idem}); err != nil {
		return nil, problemOf(err)
	}
	return &struct{}{}, nil
}

// duration reads a time that is more than none.
func duration(field, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%w: %s %q is no duration over 0, such as 90s or 1h30m", counters.ErrInvalid, field, text)
	}
	return d, nil
}
