package main

import (
	"fmt"
	"runtime"
)

type versionCommand struct{}

// Run prints the release and what it was built with.
func (c *versionCommand) Run(p process) error {
	_, err := fmt.Fprintf(p.stdout, "huddle %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
