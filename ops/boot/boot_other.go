//go:build !linux

package boot

import (
	"strconv"

	"github.com/shirou/gopsutil/v4/host"
)

// ID is when the system was started, in seconds, which differs from boot to boot; empty where that is
// not known.
func ID() string {
	at, err := host.BootTime()
	if err != nil {
		return ""
	}
	return strconv.FormatUint(at, 10)
}
