package main

import "github.com/alecthomas/kong"

// laterCommand is a command that is promised and not there: saying so beats
// "unknown command" for those who have read about it.
type laterCommand struct {
	Args []string `arg:"" optional:""`
}

// Run refuses.
func (c *laterCommand) Run(ctx *kong.Context) error {
	return usagef("huddle %s is not built yet in this release; README.md lists what is there", ctx.Selected().Name)
}
