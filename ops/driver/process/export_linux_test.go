package process

import "github.com/seed-b490fa12/swarm/ops/driver"

// MayGroup reports whether a cgroup can be made here.
func MayGroup() bool {
	var g cgroup
	_ = g.make("/a test", driver.Limits{})
	return g.remove()
}
