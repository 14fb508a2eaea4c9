//go:build slow

package trust

import "testing"

// flippedStride: of the bits of every file each 13th.
const flippedStride = 13

// TestModelLong plays more histories than the fast set has time for: on two processors that are free
// it takes about 25 minutes, and 150,000 fit into 20.
func TestModelLong(t *testing.T) { playModel(t, modelProgram(t, ""), 200_000) }
