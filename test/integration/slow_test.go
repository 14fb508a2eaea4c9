package integration

import "testing"

// onlySlow leaves a test to the slow set, for its time.
func onlySlow(t *testing.T) {
	t.Helper()
	if !slow {
		t.Skip("SKIPPED: it is in the slow set")
	}
}
