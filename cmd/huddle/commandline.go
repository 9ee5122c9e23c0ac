package main

// commandLine is every command there is. A flag is also the environment
// variable HUDDLE_ and its name in capitals.
type commandLine struct {
	Serve   serveCommand   `cmd:"" help:"Run one node."`
	Dev     devCommand     `cmd:"" help:"Run a whole cluster on this machine's loopback, in memory."`
	Status  statusCommand  `cmd:"" help:"Show the members, and what is wrong and what to do."`
	Recover recoverCommand `cmd:"" help:"Make a living node the seed of a new cluster, after a quorum was lost for good."`
	Forget  forgetCommand  `cmd:"" help:"Remove a durable node that will not come back."`
	Backup  backupCommand  `cmd:"" help:"Write a consistent snapshot of the replicated state to a file."`
	Restore restoreCommand `cmd:"" help:"Replace the replicated state by that of a backup."`
	Lock    lockCommand    `cmd:"" help:"Run a command while holding a lock."`
	Keygen  keygenCommand  `cmd:"" help:"Print a new cluster key."`
	Version versionCommand `cmd:"" help:"Print the version."`

	Verify laterCommand `cmd:"" hidden:"" passthrough:"" name:"verify"`
}
