//go:build !linux

package power

import (
	"strconv"

	"github.com/shirou/gopsutil/v4/host"
)

// bootID is when the system was started, in seconds, which differs from boot to boot; empty where that is
// not known.
func bootID() string {
	at, err := host.BootTime()
	if err != nil {
		return ""
	}
	return strconv.FormatUint(at, 10)
}
