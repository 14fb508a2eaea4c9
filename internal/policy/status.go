package policy

import (
	"fmt"
	"strings"

	"github.com/docker/go-units"
)

// Status is a policy for people and programs to read.
type Status struct {
	Miners  []string `json:"miners"`
	Pools   []string `json:"pools"`
	Wallets []string `json:"wallets"`
	Deploy  bool     `json:"deploy"`
	// Drivers are the ways in which workloads that are no miners may be run.
	Drivers []string `json:"drivers"`
	// Commands says whether any command line may be run.
	Commands bool `json:"commands"`
	// Shell says whether login shells may be opened, and ShellUser whose; empty for the worker's own user.
	Shell     bool   `json:"shell,omitzero"`
	ShellUser string `json:"shellUser,omitzero"`
	// Forward are the addresses that peers may be connected to.
	Forward []string `json:"forward,omitzero"`
	// Power says whether the machine may be rebooted and shut down.
	Power bool `json:"power,omitzero"`
	// Copy are the directories that may be copied from and to.
	Copy []string `json:"cp,omitzero"`
	// Threads and Limits are the caps of each workload; 0 is none.
	Threads int `json:"threads,omitzero"`
	Limits
}

// Limits are caps, of which those that are not there are left out.
type Limits struct {
	CPUPercent  int   `json:"cpuPercent,omitzero"`
	MemoryBytes int64 `json:"memoryBytes,omitzero"`
	Processes   int   `json:"processes,omitzero"`
}

// Status returns what p allows.
func (p Policy) Status() Status {
	return Status{
		Miners: p.Miners, Pools: p.Pools, Wallets: p.Wallets, Deploy: p.Deploy.Enabled, Drivers: p.Drivers, Commands: p.Run,
		Shell: p.Shell.Enabled, ShellUser: p.shellUser(), Forward: p.Forward, Power: p.Power, Copy: p.Copy, Threads: p.Caps.Threads,
		Limits: Limits{p.Caps.CPUPercent, p.Caps.MemoryBytes, p.Caps.Processes},
	}
}

// shellUser is whose login shell may be opened, where one may.
func (p Policy) shellUser() string {
	if !p.Shell.Enabled {
		return ""
	}
	return p.Shell.User
}

// String says what may run in a line.
func (s Status) String() string {
	var parts []string
	if len(s.Miners) > 0 {
		parts = append(parts, "miners "+strings.Join(s.Miners, ", ")+" for pools "+strings.Join(s.Pools, ", "))
	}
	if s.Deploy {
		parts = append(parts, "deploy")
	}
	if len(s.Drivers) > 0 {
		parts = append(parts, "any workload by "+strings.Join(s.Drivers, ", "))
	}
	if s.Commands {
		parts = append(parts, "any command")
	}
	switch {
	case s.Shell && s.ShellUser != "":
		parts = append(parts, "shells of user "+s.ShellUser)
	case s.Shell:
		parts = append(parts, "shells")
	}
	if len(s.Forward) > 0 {
		parts = append(parts, "connections to "+strings.Join(s.Forward, ", "))
	}
	if s.Power {
		parts = append(parts, "reboot and shutdown")
	}
	if len(s.Copy) > 0 {
		parts = append(parts, "copies from and to "+strings.Join(s.Copy, ", "))
	}
	if s.Threads > 0 {
		parts = append(parts, fmt.Sprintf("%d threads at most", s.Threads))
	}
	if s.CPUPercent > 0 {
		parts = append(parts, fmt.Sprintf("%d %% of the processors at most", s.CPUPercent))
	}
	if s.MemoryBytes > 0 {
		parts = append(parts, units.BytesSize(float64(s.MemoryBytes))+" of memory at most")
	}
	if s.Processes > 0 {
		parts = append(parts, fmt.Sprintf("%d processes at most", s.Processes))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}
