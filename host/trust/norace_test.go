//go:build !race

package trust

// underRace: the race detector watches this program.
const underRace = false
