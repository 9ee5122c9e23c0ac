package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

type forgetCommand struct {
	clientFlags
	ID string `arg:"" help:"ID of the node, as huddle status shows it."`
}

// Run removes a node that is dead and would otherwise be waited for.
func (c *forgetCommand) Run(ctx context.Context, p process) error {
	path := "/v1/cluster/members/" + url.PathEscape(c.ID)
	if err := c.call(ctx, p, http.MethodDelete, path, nil, nil); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "%s is no longer a member\n", c.ID)
	return err
}
