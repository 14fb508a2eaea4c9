//go:build !linux

package shim

import "github.com/seed-b490fa12/swarm/ops/driver"

// Supported returns why this driver cannot be used here.
func Supported() error { return ErrUnsupported }

// Main does nothing here.
func Main() (code int, done bool) { return 0, false }

// Start fails here.
func (Driver) Start(driver.Spec) (driver.Workload, error) { return nil, ErrUnsupported }

// Adopt finds nothing here.
func (Driver) Adopt(string) (driver.Kept, error) { return nil, driver.ErrGone }

// Probe finds nothing that enforces limits here.
func (Driver) Probe() driver.Enforced {
	none := driver.Means{Why: ErrUnsupported.Error()}
	return driver.Enforced{Memory: none, CPU: none, Processes: none}
}

// Sweep finds nothing here.
func (Driver) Sweep(string) (killed int, err error) { return 0, nil }
