// Package e2e tests Huddle from outside: real processes, each with an address
// of its own on the loopback network and the same ports as the others, found
// through a DNS server that plays a headless Kubernetes service, used by real
// clients while processes are killed, paused, cut off and replaced.
//
// HUDDLE_E2E=off skips it all; HUDDLE_E2E=required fails what is otherwise
// skipped because a tool is missing. HUDDLE_LONG=1 runs longer and more often.
// HUDDLE_E2E_RACE=1 builds the program with the race detector, HUDDLE_BIN
// names a program built already, and HUDDLE_E2E_LOGS a directory that keeps
// the nodes' logs.
package e2e
