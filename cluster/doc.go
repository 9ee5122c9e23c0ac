// Package cluster makes the replicas of a service agree.
package cluster
