package results

import (
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/ops"
)

func TestStateWithItsReason(t *testing.T) {
	for reason, want := range map[string]string{
		"":                            "degraded",
		"no pool: connection refused": "degraded: no pool: connection refused",
		strings.Repeat("ü", 41):       "degraded: " + strings.Repeat("ü", 39) + "…",
	} {
		if got := State(ops.Workload{State: "degraded", Reason: reason}); got != want {
			t.Errorf("%q: got %q, want %q", reason, got, want)
		}
	}
}
