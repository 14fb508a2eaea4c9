package power

// command returns the system's command.
func command(a Action) ([]string, error) {
	return found(a, map[Action][]string{Reboot: {"shutdown", "/r", "/t", "0"}, Shutdown: {"shutdown", "/s", "/t", "0"}}[a])
}
