// Package agent puts the parts of a worker, a relay and a controller together.
//
// A [Worker] serves the operations on a node and pushes its stats. A [Relay] passes connections on
// for others. A [Controller] picks targets, asks all of them at once, and listens to what they
// push.
//
// Each is made by a constructor that starts nothing. Listen opens its addresses, Run serves until
// its context ends, and Close frees everything, so that tests start the same thing as the program
// does.
package agent
