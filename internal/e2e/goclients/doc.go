// Package goclients tests Huddle with the Redis clients that Go programs use:
// go-redis, redsync and rueidis. It is a module of its own, so that nobody who
// imports Huddle gets them. REDIS_NODES has the addresses of the nodes,
// host:port with commas between; TestGoClients of internal/e2e starts nodes and
// runs it.
package goclients
