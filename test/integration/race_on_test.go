//go:build race

package integration

// raceFactor is how much slower this process is with the race detector: the
// flood and the one who measures share it.
const raceFactor = 5
