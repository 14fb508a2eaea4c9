// Package agent puts the parts of a worker and of a controller together. It is
// the only package that knows all of them.
//
// A [Worker] serves the message families of ops and deploy on a node and pushes
// its stats. A [Controller] picks targets, asks all of them at once, and
// listens to what they push. Both have Run and Close, so that tests start the
// same thing as the program does.
package agent
