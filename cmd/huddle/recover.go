package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/huddlecache/huddle"
	"github.com/huddlecache/huddle/cluster"
)

type recoverCommand struct {
	clientFlags
	DryRun  bool   `help:"Say what would be done, and do nothing."`
	Force   bool   `help:"Do it though another living node is further on or has a quorum: what only that one has is lost."`
	DataDir string `help:"Do it offline, in the data directory of a node that does not run." placeholder:"DIR"`
}

// Run makes the asked node, or the directory's, the seed of a new cluster.
func (c *recoverCommand) Run(ctx context.Context, p process) error {
	report, err := c.recover(ctx, p)
	if refused, found := errors.AsType[*refusal](err); found {
		report = refused.Report
	}
	if report = strings.TrimSpace(report); report != "" {
		fmt.Fprintln(p.stdout, report)
	}
	return err
}

func (c *recoverCommand) recover(ctx context.Context, p process) (string, error) {
	if c.DataDir != "" {
		report, err := huddle.RecoverDir(ctx, c.DataDir, cluster.RecoverOptions{DryRun: c.DryRun, Force: c.Force})
		if refused, found := errors.AsType[*huddle.SettingError](err); found {
			return "", usagef("--data-dir: %w", refused.Err)
		}
		return report, err
	}
	in := map[string]bool{"dry_run": c.DryRun, "force": c.Force}
	var answer struct{ Report string }
	err := c.call(ctx, p, http.MethodPost, "/v1/cluster/recover", in, &answer)
	return answer.Report, err
}
