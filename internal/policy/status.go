package policy

import (
	"fmt"
	"strings"
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
	// Forward are the addresses that peers may be connected to.
	Forward []string `json:"forward,omitzero"`
	Threads int      `json:"threads,omitzero"` // the cap; 0 is none
	// Unenforced are the caps that the file sets and this version cannot keep.
	Unenforced []string `json:"unenforced,omitzero"`
}

// Status returns what p allows.
func (p Policy) Status() Status {
	s := Status{
		Miners: p.Miners, Pools: p.Pools, Wallets: p.Wallets, Deploy: p.Deploy.Enabled, Drivers: p.Drivers, Commands: p.Run,
		Forward: p.Forward, Threads: p.Caps.Threads,
	}
	if p.Caps.CPUPercent > 0 {
		s.Unenforced = append(s.Unenforced, "caps.cpuPercent")
	}
	if p.Caps.MemoryBytes > 0 {
		s.Unenforced = append(s.Unenforced, "caps.memoryBytes")
	}
	return s
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
		parts = append(parts, "any workload as a "+strings.Join(s.Drivers, ", "))
	}
	if s.Commands {
		parts = append(parts, "any command")
	}
	if len(s.Forward) > 0 {
		parts = append(parts, "connections to "+strings.Join(s.Forward, ", "))
	}
	if s.Threads > 0 {
		parts = append(parts, fmt.Sprintf("%d threads at most", s.Threads))
	}
	for _, u := range s.Unenforced {
		parts = append(parts, u+" is not enforced by this version")
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}
