package http

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster"
)

// recoverCall is the body of POST /v1/cluster/recover.
type recoverCall struct {
	DryRun bool `json:"dry_run,omitempty" doc:"only say what would be done"`
	Force  bool `json:"force,omitempty" doc:"do it even where another node may know more"`
}

// recoverAnswer says in words what was done, or would be.
type recoverAnswer struct {
	Report string `json:"report"`
}

// clusterCalls registers what shows the cluster and mends it.
func (s *Server) clusterCalls(api huma.API) {
	tags := []string{"cluster"}
	huma.Register(api, huma.Operation{
		OperationID: "cluster", Method: http.MethodGet, Path: "/v1/cluster", Tags: tags,
		Summary: "What huddle status shows", Errors: []int{http.StatusUnauthorized},
	}, s.status)
	huma.Register(api, huma.Operation{
		OperationID: "recover", Method: http.MethodPost, Path: "/v1/cluster/recover", Tags: tags, MaxBodyBytes: maxBody,
		Summary:     "Makes this node the seed of a new cluster",
		Description: "For a cluster that has lost its majority for good. Refused where another living node is further on, or a quorum is there.",
		Errors:      []int{http.StatusUnauthorized, http.StatusConflict},
	}, s.recover)
	huma.Register(api, huma.Operation{
		OperationID: "forget", Method: http.MethodDelete, Path: "/v1/cluster/members/{id}", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Removes a durable node that will not come back",
		Errors:  []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
	}, s.forget)
}

// body is an answer that is one JSON value.
type body[T any] struct{ Body T }

// clusterAnswer is what the node knows of the cluster.
type clusterAnswer struct {
	cluster.Status
	Ring *cache.Ring `json:"ring,omitempty" doc:"who serves the cache"`
}

func (s *Server) status(ctx context.Context, _ *struct{}) (*body[clusterAnswer], error) {
	answer := &body[clusterAnswer]{clusterAnswer{Status: s.cfg.Node.Status(ctx)}}
	if s.cfg.Cache != nil {
		ring := s.cfg.Cache.Ring()
		answer.Body.Ring = &ring
	}
	return answer, nil
}

func (s *Server) recover(ctx context.Context, in *struct {
	Body *recoverCall
},
) (*body[recoverAnswer], error) {
	var o cluster.RecoverOptions
	if in.Body != nil {
		o = cluster.RecoverOptions{DryRun: in.Body.DryRun, Force: in.Body.Force}
	}
	report, err := s.cfg.Node.Recover(ctx, o)
	if err != nil {
		return nil, problemOf(&reportedError{err, report})
	}
	return &body[recoverAnswer]{recoverAnswer{Report: report}}, nil
}

func (s *Server) forget(ctx context.Context, in *struct {
	ID string `path:"id" doc:"ID of a member, as GET /v1/cluster shows it"`
},
) (*struct{}, error) {
	if err := s.cfg.Node.Forget(ctx, in.ID); err != nil {
		return nil, problemOf(err)
	}
	return &struct{}{}, nil
}

// page tells a person with a browser where they are.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	status := s.cfg.Node.Status(r.Context())
	writeProbe(w, http.StatusOK, fmt.Sprintf(`This is Huddle %s, node %s of cluster %s.

GET /v1/cluster   members, roles, what is wrong and what to do (also: huddle status)
GET /metrics      for Prometheus
GET /readyz       for probes, as is /livez`, s.cfg.Version, orNone(status.Node), orNone(status.Cluster)))
}

func orNone(s string) string {
	if s == "" {
		return "(none yet)"
	}
	return s
}
