// Package sim runs whole clusters under random faults in virtual time, and
// checks what their clients saw.
//
// A run is a cluster of package clustertest in a testing/synctest bubble,
// clients that use the keyspace through it, and a nemesis that cuts, delays,
// pauses, kills, restarts and replaces. What the clients were told is a
// [History]; what must hold of it is judged afterwards, by one function for
// each promise. A seed fixes the faults and what the clients ask, not the
// order in which goroutines run.
package sim
