// Package integration tests several real nodes together: on a simulated
// network in virtual time, and as processes on loopback.
//
// The processes are the real binary, built once for all tests. What takes long
// has the build tag slow; "make slow" runs it.
package integration
