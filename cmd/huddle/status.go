package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	"github.com/huddlecache/huddle/cache"
	"github.com/huddlecache/huddle/cluster"
)

type statusCommand struct {
	clientFlags
	JSON bool `name:"json" help:"Print what GET /v1/cluster answers."`
}

// Run shows what the asked node knows of its cluster.
func (c *statusCommand) Run(ctx context.Context, p process) error {
	var answer json.RawMessage
	if err := c.call(ctx, p, http.MethodGet, "/v1/cluster", nil, &answer); err != nil {
		return err
	}
	if c.JSON {
		_, err := fmt.Fprintln(p.stdout, string(answer))
		return err
	}
	var status clusterStatus
	if err := json.Unmarshal(answer, &status); err != nil {
		return fmt.Errorf("reading the status: %w; is the node of another release?", err)
	}
	return printStatus(p.stdout, status)
}

// clusterStatus is what GET /v1/cluster answers.
type clusterStatus struct {
	cluster.Status
	Ring cache.Ring `json:"ring"`
}

// printStatus writes what the cluster is, who its members are, and what is
// wrong.
func printStatus(w io.Writer, s clusterStatus) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "cluster\t%s\n", orDash(s.Cluster))
	fmt.Fprintf(table, "leader\t%s\n", leaderOf(s))
	fmt.Fprintf(table, "quorum\t%s\n", yesNo(s.Quorum))
	fmt.Fprintf(table, "voters\t%d of %d members\n", votersOf(s), len(s.Members))
	fmt.Fprintf(table, "term\t%d\n", s.Term)
	fmt.Fprintf(table, "index\t%d\n", s.Index)
	fmt.Fprintf(table, "level\t%d\n", s.Level)
	fmt.Fprintf(table, "ring\t%s\n", ringOf(s.Ring))
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(table, "NAME\tROLE\tSTATE\tINDEX\tVERSION\tKEEPS\tCACHE\tADDRESS\tID")
	for _, m := range s.Members {
		keeps := "memory"
		if m.Durable {
			keeps = "disk"
		}
		id := m.ID
		if id == s.Node {
			id += " (asked)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n",
			orDash(m.Name), m.Role, m.State, m.Index, orDash(m.Version), keeps, shareOf(s.Ring, m.ID), orDash(m.Address), id)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, problem := range s.Problems {
		fmt.Fprintf(w, "\nproblem: %s\n", problem)
	}
	return nil
}

// ringOf says how many serve the cache.
func ringOf(r cache.Ring) string {
	switch {
	case len(r.Members) == 0:
		return "-"
	case !r.Settled:
		return fmt.Sprintf("%d serve the cache, being agreed on", len(r.Members))
	}
	return fmt.Sprintf("%d serve the cache, since index %d", len(r.Members), r.Version)
}

// shareOf says how much of the cache is a member's.
func shareOf(r cache.Ring, id string) string {
	for _, m := range r.Members {
		if m.ID == id {
			return fmt.Sprintf("%.0f%%", 100*m.Share)
		}
	}
	return "-"
}

func leaderOf(s clusterStatus) string {
	for _, m := range s.Members {
		if m.ID == s.Leader && m.Name != "" {
			return m.Name + " (" + m.ID + ")"
		}
	}
	return orDash(s.Leader)
}

func votersOf(s clusterStatus) (n int) {
	for _, m := range s.Members {
		if m.Role == cluster.RoleLeader || m.Role == cluster.RoleVoter {
			n++
		}
	}
	return n
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
