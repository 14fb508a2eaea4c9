//go:build !linux

package process

import (
	"fmt"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

// noLimits refuses limits.
func noLimits(l driver.Limits) error {
	if l == (driver.Limits{}) {
		return nil
	}
	return fmt.Errorf("%w: it takes the cgroups of Linux", driver.ErrLimit)
}

// Probe finds nothing that enforces limits. See [driver.Prober].
func (Driver) Probe() driver.Enforced {
	none := driver.Means{Why: "it takes the cgroups of Linux"}
	return driver.Enforced{Memory: none, CPU: none, Processes: none}
}
