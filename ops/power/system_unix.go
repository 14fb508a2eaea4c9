//go:build unix

package power

import (
	"errors"
	"os"
	"runtime"
)

// command returns the system's command. What ends services in their order comes first.
func command(a Action) ([]string, error) {
	shutdown := map[Action][]string{Reboot: {"shutdown", "-r", "now"}, Shutdown: {"shutdown", "-h", "now"}}
	halt := map[Action][]string{Reboot: {"reboot"}, Shutdown: {"poweroff"}}
	if runtime.GOOS == "linux" {
		if _, err := os.Stat("/run/systemd/system"); err == nil { // as sd_booted(3) does; polkit may let others than root
			systemctl := map[Action][]string{Reboot: {"systemctl", "--no-ask-password", "reboot"}, Shutdown: {"systemctl", "--no-ask-password", "poweroff"}}
			return found(a, systemctl[a], shutdown[a], halt[a])
		}
		shutdown[Shutdown] = []string{"shutdown", "-P", "now"}
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("the worker's user may not end this machine: it is not root, and no systemd would do it for others")
	}
	return found(a, shutdown[a], halt[a])
}
