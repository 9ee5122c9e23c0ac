package clustertest

import "github.com/huddlecache/huddle/cluster/internal/store"

// A Disk loses, fails and hangs what a node writes to its log when it is told
// to: its Wrap is a cluster.Config's Logs. The zero value is a good disk. It
// outlives the node that uses it, which calls Wrap again at each start.
type Disk = store.Lossy
