//go:build !slow

package integration

// slow says that this is the slow set.
const slow = false
