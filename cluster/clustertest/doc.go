// Package clustertest tests what is built on a cluster: an in-memory network
// whose faults are switched on and off at will.
//
// Everything blocks on channels and condition variables only, so a whole
// cluster can live in a testing/synctest bubble, where minutes of partitions
// take milliseconds. The Network must then be made inside the bubble.
package clustertest
