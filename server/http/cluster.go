package http

import (
	"fmt"
	"net/http"

	"github.com/huddlecache/huddle/cluster"
)

// recoverCall is the body of POST /v1/cluster/recover.
type recoverCall struct {
	DryRun bool `json:"dry_run"`
	Force  bool `json:"force"`
}

// recoverAnswer says in words what was done, or would be.
type recoverAnswer struct {
	Report string `json:"report"`
}

func (s *Server) status(r *http.Request, _ none) (cluster.Status, error) {
	return s.cfg.Node.Status(r.Context()), nil
}

func (s *Server) recover(r *http.Request, in recoverCall) (recoverAnswer, error) {
	report, err := s.cfg.Node.Recover(r.Context(), cluster.RecoverOptions{DryRun: in.DryRun, Force: in.Force})
	if err != nil {
		return recoverAnswer{}, &reportedError{err, report}
	}
	return recoverAnswer{Report: report}, nil
}

func (s *Server) forget(r *http.Request, _ none) (none, error) {
	return none{}, s.cfg.Node.Forget(r.Context(), r.PathValue("id"))
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
