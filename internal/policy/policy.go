// Package policy is what the owner of a machine allows on it, whoever asks.
//
// The policy is a file on the machine. It binds also a controller whose key was stolen, because
// nothing that comes over the network can write it: this package offers reading it, and
// [Policy.Write] for a command that the owner runs here.
//
//	// enable: what --enable says
//	file, err := policy.Open(filepath.Join(state, policy.FileName), enable...)
//	…
//	if err := file.Policy().CheckPool(req.Pool); err != nil {
//		return refused(err) // pool "x.example:3333" is not in the owner's list
//	}
//	…
//	err = file.Reload() // on SIGHUP; on an error the policy stays as it was
//
// A list that is empty allows nothing, and in a list of patterns "*" stands for any text, so that a
// file can be read without knowing defaults. The zero [Policy] allows nothing at all.
//
// The file is JSON. It must belong to the user the worker runs as, or to root, and nobody else may
// write it.
package policy

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed-b490fa12/swarm/ops/driver"
	"github.com/seed-b490fa12/swarm/ops/forward/target"
)

// FileName is what the policy file is called in a worker's state directory.
const FileName = "policy.json"

// Any is the pattern that allows everything in its list.
const Any = "*"

// Limits of a policy.
const (
	MaxFile    = 64 << 10 // bytes of a policy file
	MaxList    = 256      // items in a list
	MaxItem    = 256      // bytes of an item
	MaxThreads = 1024     // the greatest cap of threads
	MaxRuns    = 256      // the greatest cap of command lines at a time
)

// ErrInvalid says that a policy, or a word for [Policy.Enable], is not understood.
var ErrInvalid = errors.New("invalid policy")

// Policy is what the owner allows. The zero value, as [Default], allows nothing. It is a value:
// methods other than Enable do not change it and may be called concurrently.
type Policy struct {
	// Drivers are the ways in which workloads that are no miners may be run. This version knows
	// "process", any command line with the rights of the worker's user, and "wasm", WebAssembly modules.
	Drivers []string `json:"drivers"`
	// Miners are the miners that may be started, such as "xmrig".
	Miners []string `json:"miners"`
	// Pools are patterns of pools to mine for: a host, or host:port. Only "*" allows to name no
	// pool.
	Pools []string `json:"pools"`
	// Wallets are the pool user names to mine for, as they are, or "*". Only "*" allows to name
	// none.
	Wallets []string `json:"wallets"`
	// Deploy says what may be deployed.
	Deploy Deploy `json:"deploy"`
	// Run allows to run any command line, with the rights of the worker's user.
	Run bool `json:"run"`
	// Shell says whether login shells may be opened.
	Shell Shell `json:"shell,omitzero"`
	// Forward are the addresses, host:port, that peers may be connected to from this machine. There is no
	// pattern for several.
	Forward []string `json:"forward,omitzero"`
	// Power allows to reboot the machine, and to shut it down.
	Power bool `json:"power,omitzero"`
	// Copy are the directories, as absolute paths, that files may be copied from and to, with all below them.
	Copy []string `json:"cp,omitzero"`
	// Caps bound each workload.
	Caps Caps `json:"caps"`
}

// Deploy is what may be deployed.
type Deploy struct {
	Enabled bool `json:"enabled"`
	// MaxBytes bounds one bundle, with 4 KiB for each file and directory; 0 means no cap.
	MaxBytes int64    `json:"maxBytes"`
	Names    []string `json:"names"` // patterns of names
	// TotalBytes is what all deployments take together, counted in the same way, with the releases
	// that are kept; 0 means no cap.
	TotalBytes int64 `json:"totalBytes,omitzero"`
}

// Shell is whose login shell may be opened.
type Shell struct {
	Enabled bool `json:"enabled"`
	// User is whose; empty means the worker's own. Only a worker that is root opens those of others.
	User string `json:"user,omitzero"`
}

// maxUser is the longest name of a user, in bytes.
const maxUser = 64

// checkUser admits the name of a user of the machine.
func checkUser(s string) error {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_.-", r)
	}
	if len(s) > maxUser || strings.ContainsFunc(s, odd) || strings.HasPrefix(s, "-") {
		return fmt.Errorf("%.80q is no user's name: want at most %d letters, digits and _.-, the first no -", s, maxUser)
	}
	return nil
}

// Caps bound each workload and each command. 0 means no cap. What cannot be held to one on a machine is
// not started there.
type Caps struct {
	Threads     int   `json:"threads"`
	CPUPercent  int   `json:"cpuPercent"` // of all processors together: 1 to 100
	MemoryBytes int64 `json:"memoryBytes"`
	// Processes is how many processes and threads there may be of a workload.
	Processes int `json:"processes,omitzero"`
	// Runs is how many command lines and shells run at a time; 0 leaves it to the worker.
	Runs int `json:"runs,omitzero"`
}

// Default is the policy of a machine whose owner has said nothing: it allows nothing.
func Default() Policy { return Policy{} }

// Clone returns a policy that shares nothing with p.
func (p Policy) Clone() Policy {
	for _, list := range p.lists() {
		*list.items = slices.Clone(*list.items)
	}
	return p
}

// list is one of a policy's lists with the name it has in the file.
type list struct {
	name  string
	items *[]string
	check func(string) error
}

func (p *Policy) lists() []list {
	return []list{
		{"drivers", &p.Drivers, checkWord},
		{"miners", &p.Miners, checkWord},
		{"pools", &p.Pools, checkPoolPattern},
		{"wallets", &p.Wallets, checkText},
		{"deploy.names", &p.Deploy.Names, checkText},
		{"forward", &p.Forward, target.Check},
		{"cp", &p.Copy, checkDir},
	}
}

// Validate tells what is wrong with a policy: the error matches [ErrInvalid].
func (p Policy) Validate() error {
	for _, l := range p.lists() {
		if len(*l.items) > MaxList {
			return fmt.Errorf("%w: %s: %d items, at most %d are allowed", ErrInvalid, l.name, len(*l.items), MaxList)
		}
		for i, item := range *l.items {
			if err := l.check(item); err != nil {
				return fmt.Errorf("%w: %s[%d]: %w", ErrInvalid, l.name, i, err)
			}
		}
	}
	if err := checkUser(p.Shell.User); err != nil {
		return fmt.Errorf("%w: shell.user: %w", ErrInvalid, err)
	}
	switch {
	case p.Deploy.MaxBytes < 0:
		return fmt.Errorf("%w: deploy.maxBytes: %d is below 0", ErrInvalid, p.Deploy.MaxBytes)
	case p.Deploy.TotalBytes < 0:
		return fmt.Errorf("%w: deploy.totalBytes: %d is below 0", ErrInvalid, p.Deploy.TotalBytes)
	case p.Caps.Threads < 0 || p.Caps.Threads > MaxThreads:
		return fmt.Errorf("%w: caps.threads: %d is not from 0 to %d", ErrInvalid, p.Caps.Threads, MaxThreads)
	case p.Caps.CPUPercent < 0 || p.Caps.CPUPercent > 100:
		return fmt.Errorf("%w: caps.cpuPercent: %d is not from 0 to 100", ErrInvalid, p.Caps.CPUPercent)
	case p.Caps.Runs < 0 || p.Caps.Runs > MaxRuns:
		return fmt.Errorf("%w: caps.runs: %d is not from 0 to %d", ErrInvalid, p.Caps.Runs, MaxRuns)
	}
	return p.Caps.validateLimits()
}

// validateLimits checks those that a driver enforces.
func (c Caps) validateLimits() error {
	for _, one := range []struct {
		rule string
		l    driver.Limits
	}{{"caps.memoryBytes", driver.Limits{MemoryBytes: c.MemoryBytes}}, {"caps.processes", driver.Limits{Processes: c.Processes}}} {
		if err := one.l.Validate(); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrInvalid, one.rule, err)
		}
	}
	return nil
}

// checkText admits printable ASCII without spaces.
func checkText(s string) error {
	if s == "" || len(s) > MaxItem {
		return fmt.Errorf("need 1 to %d bytes", MaxItem)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%.40q holds a character that is not printable ASCII", s)
	}
	return nil
}

// checkDir admits the absolute path of a directory, in its shortest form.
func checkDir(s string) error {
	switch {
	case s == "" || len(s) > MaxItem:
		return fmt.Errorf("need 1 to %d bytes", MaxItem)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%.40q holds a character that no path has", s)
	case !filepath.IsAbs(s):
		return fmt.Errorf("%.80q: need an absolute path", s)
	case filepath.Clean(s) != s:
		return fmt.Errorf("%.80q: write it as %s", s, filepath.Clean(s))
	}
	return nil
}

// checkWord admits the name of a driver or miner. These are few and dangerous: each has to be
// named.
func checkWord(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	if strings.Contains(s, Any) {
		return fmt.Errorf("%.40q: each one has to be named, there is no pattern for all", s)
	}
	return nil
}
