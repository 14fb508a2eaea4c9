package power

import (
	"strings"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// bootID is the kernel's name for this boot; empty where it has none.
func bootID() string {
	id, err := durable.ReadFile("/proc/sys/kernel/random/boot_id", 64)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
