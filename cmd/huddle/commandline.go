package main

// commandLine is every command there is. A flag is also the environment
// variable HUDDLE_ and its name in capitals.
type commandLine struct {
	Serve   serveCommand   `cmd:"" help:"Run one node."`
	Dev     devCommand     `cmd:"" help:"Run a whole cluster on this machine's loopback, in memory."`
	Status  statusCommand  `cmd:"" help:"Show the members, and what is wrong and what to do."`
	Recover recoverCommand `cmd:"" help:"Make a living node the seed of a new cluster, after a quorum was lost for good."`
	Forget  forgetCommand  `cmd:"" help:"Remove a durable node that will not come back."`
	Keygen  keygenCommand  `cmd:"" help:"Print a new cluster key."`
	Version versionCommand `cmd:"" help:"Print the version."`

	Lock    laterCommand `cmd:"" hidden:"" passthrough:"" name:"lock"`
	Backup  laterCommand `cmd:"" hidden:"" passthrough:"" name:"backup"`
	Restore laterCommand `cmd:"" hidden:"" passthrough:"" name:"restore"`
	Verify  laterCommand `cmd:"" hidden:"" passthrough:"" name:"verify"`
}
