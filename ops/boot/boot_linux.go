package boot

import (
	"os"
	"strings"
)

// ID is the kernel's name for this boot; empty where it has none.
func ID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
