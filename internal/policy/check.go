package policy

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

// ErrRefused matches every [Refusal].
var ErrRefused = errors.New("refused by the owner's policy")

// Refusal says which rule of the owner refuses a request. Its words are meant for the one who asked
// (code 422).
type Refusal struct {
	Rule   string // the name of the rule in the file, such as "pools"
	Reason string
	// Enable is the word that allows it, see [Policy.Enable]; empty where none does.
	Enable string
}

func (r *Refusal) Error() string {
	text := fmt.Sprintf("%s (%s: %s)", r.Reason, FileName, r.Rule)
	if r.Enable != "" {
		text += "; the owner of this machine allows it with: --enable " + r.Enable
	}
	return text
}

// Is makes errors.Is(err, ErrRefused) true.
func (r *Refusal) Is(target error) bool { return target == ErrRefused }

func refuse(rule, format string, args ...any) error {
	return &Refusal{Rule: rule, Reason: fmt.Sprintf(format, args...)}
}

// CheckMiner returns why the miner of this name may not be started.
func (p Policy) CheckMiner(name string) error {
	if slices.Contains(p.Miners, name) {
		return nil
	}
	reason := fmt.Sprintf("miner %.80q is not in the owner's list", name)
	return &Refusal{Rule: "miners", Reason: reason, Enable: "miner=" + name}
}

// CheckDriver returns why no workload other than a miner may be run in this way.
func (p Policy) CheckDriver(name string) error {
	if slices.Contains(p.Drivers, name) {
		return nil
	}
	return &Refusal{Rule: "drivers", Reason: fmt.Sprintf("workloads of driver %.80q are not in the owner's list", name), Enable: "workload"}
}

// CheckPool returns why nothing may be mined for a pool, given as scheme://host:port; empty when
// none is named.
func (p Policy) CheckPool(pool string) error {
	if slices.Contains(p.Pools, Any) {
		return nil
	}
	if pool == "" {
		return refuse("pools", "no pool is named, and the owner allows certain ones only")
	}
	u, err := url.Parse(pool)
	if err != nil || u.Hostname() == "" || u.Port() == "" {
		return refuse("pools", "pool %.80q is not of the form scheme://host:port", pool)
	}
	if slices.ContainsFunc(p.Pools, func(pattern string) bool { return matchesPool(pattern, u.Hostname(), u.Port()) }) {
		return nil
	}
	return refuse("pools", "pool %.80q is not in the owner's list", u.Host)
}

// CheckWallet returns why nothing may be mined for a wallet; empty when none is named. It does not
// repeat the wallet.
func (p Policy) CheckWallet(wallet string) error {
	switch {
	case slices.Contains(p.Wallets, Any):
		return nil
	case wallet == "":
		return refuse("wallets", "no wallet is named, and the owner allows certain ones only")
	case slices.Contains(p.Wallets, wallet):
		return nil
	}
	return refuse("wallets", "the wallet is not in the owner's list")
}

// CheckDeploy returns why a bundle of this name and size may not be deployed.
func (p Policy) CheckDeploy(name string, bytes int64) error {
	d := p.Deploy
	switch {
	case !d.Enabled:
		return &Refusal{Rule: "deploy.enabled", Reason: "the owner allows no deployments", Enable: "deploy"}
	case !slices.ContainsFunc(d.Names, func(pattern string) bool { return matches(pattern, name) }):
		return refuse("deploy.names", "deployment %.80q is not in the owner's list", name)
	case bytes < 0 || (d.MaxBytes > 0 && bytes > d.MaxBytes):
		return refuse("deploy.maxBytes", "a bundle of %d bytes is too large, the owner allows %d", bytes, d.MaxBytes)
	}
	return nil
}

// CheckRun returns why no command line may be run.
func (p Policy) CheckRun() error {
	if p.Run {
		return nil
	}
	return &Refusal{Rule: "run", Reason: "the owner allows no commands to be run", Enable: "run"}
}

// CheckPower returns why the machine may not be rebooted or shut down.
func (p Policy) CheckPower() error {
	if p.Power {
		return nil
	}
	return &Refusal{Rule: "power", Reason: "the owner does not allow that the machine is rebooted or shut down", Enable: "power"}
}

// CheckShell returns why no login shell may be opened.
func (p Policy) CheckShell() error {
	if p.Shell.Enabled {
		return nil
	}
	return &Refusal{Rule: "shell.enabled", Reason: "the owner allows no shells", Enable: "shell"}
}

// mostListed is how many addresses or directories a refusal names.
const mostListed = 8

// CheckForward returns why nobody may be connected to an address, host:port, from this machine.
func (p Policy) CheckForward(to string) error {
	if slices.Contains(p.Forward, to) {
		return nil
	}
	reason := "the owner allows no connections to be forwarded"
	if len(p.Forward) > 0 {
		reason = fmt.Sprintf("%s is not in the owner's list of %s", to, listed(p.Forward))
	}
	return &Refusal{Rule: "forward", Reason: reason, Enable: "forward=" + to}
}

// CheckCopy returns the listed directory that a path is in, and the path from there; or why nothing may be
// copied from or to it. A path that is not absolute begins at the directory, where only one is listed.
func (p Policy) CheckCopy(path string) (dir, rel string, err error) {
	refusal := func(format string, args ...any) error {
		return &Refusal{Rule: "cp", Reason: fmt.Sprintf(format, args...), Enable: "cp=DIR"}
	}
	if len(p.Copy) == 0 {
		return "", "", refusal("the owner allows nothing to be copied")
	}
	to := filepath.FromSlash(path)
	if !filepath.IsAbs(to) {
		if len(p.Copy) > 1 {
			return "", "", refusal("%.80q is not the whole path, and the owner allows several directories: %s", path, listed(p.Copy))
		}
		to = filepath.Join(p.Copy[0], to)
	}
	to = filepath.Clean(to)
	for _, d := range p.Copy {
		if at, err := filepath.Rel(d, to); err == nil && filepath.IsLocal(at) && len(d) > len(dir) {
			dir, rel = d, at
		}
	}
	if dir == "" {
		return "", "", refusal("%.80q is in none of the directories that the owner allows: %s", to, listed(p.Copy))
	}
	return dir, rel, nil
}

// listed is a list of the owner, as far as it fits into a line.
func listed(items []string) string {
	text := strings.Join(items[:min(len(items), mostListed)], ", ")
	if more := len(items) - mostListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Threads returns how many threads a workload gets that asks for so many, or why it gets none: 0
// asks for as many as it may have, and 0 is the answer when there is no cap either.
func (p Policy) Threads(asked int) (int, error) {
	const rule = "caps.threads"
	switch most := p.Caps.Threads; {
	case asked < 0:
		return 0, refuse(rule, "%d threads make no sense", asked)
	case asked == 0:
		return most, nil
	case most > 0 && asked > most:
		return 0, refuse(rule, "%d threads are asked, the owner allows %d", asked, most)
	}
	return asked, nil
}

// limits are the caps that a driver enforces.
func (c Caps) limits() driver.Limits {
	return driver.Limits{
		MemoryBytes: c.MemoryBytes, CPU: float64(c.CPUPercent) / 100 * float64(runtime.NumCPU()), Processes: c.Processes,
	}
}

// Limits returns the limits of a workload or command that asks for these, or why it gets none. A zero
// limit asks for as much as it may have.
func (p Policy) Limits(asked driver.Limits) (driver.Limits, error) {
	most := p.Caps.limits()
	got := driver.Limits{
		MemoryBytes: cmp.Or(asked.MemoryBytes, most.MemoryBytes), CPU: cmp.Or(asked.CPU, most.CPU),
		Processes: cmp.Or(asked.Processes, most.Processes),
	}
	return got, errors.Join(
		over("caps.memoryBytes", "bytes of memory", asked.MemoryBytes, most.MemoryBytes),
		over("caps.cpuPercent", "processors", asked.CPU, most.CPU),
		over("caps.processes", "processes", asked.Processes, most.Processes),
	)
}

// over returns why so much is not given.
func over[T int | int64 | float64](rule, of string, asked, most T) error {
	if most == 0 || asked <= most {
		return nil
	}
	return refuse(rule, "%v %s are asked, the owner allows %v", asked, of, most)
}

// matchesPool reports whether a pattern, which is a host or host:port, means this pool. Names of
// hosts have no case.
func matchesPool(pattern, host, port string) bool {
	wantHost, wantPort := splitPool(pattern)
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return matches(strings.ToLower(wantHost), host) && matches(wantPort, port)
}

// splitPool splits a pattern; without a port it means any.
func splitPool(pattern string) (host, port string) {
	if host, port, err := net.SplitHostPort(pattern); err == nil {
		return host, port
	}
	return strings.Trim(pattern, "[]"), Any
}

// checkPoolPattern admits host and host:port, with "*" in the host or as the port.
func checkPoolPattern(s string) error {
	if err := checkText(s); err != nil {
		return err
	}
	host, port := splitPool(s)
	if n, err := strconv.ParseUint(port, 10, 16); port != Any && (err != nil || n == 0 || port[0] == '0') {
		return fmt.Errorf("%.80q: the port is not a number from 1 to 65535", s)
	}
	if strings.ContainsAny(host, `/@?#\[]`) || host == "" {
		return fmt.Errorf("%.80q: need a host or host:port, without a scheme", s)
	}
	if strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return fmt.Errorf("%.80q: need a host or host:port; an IPv6 address with a port stands in brackets", s)
	}
	return nil
}

// matches compares with a pattern in which only "*" is special. No text it is used for may hold a
// slash, which "*" would not match.
func matches(pattern, text string) bool {
	ok, err := path.Match(strings.NewReplacer(`\`, `\\`, `[`, `\[`, `?`, `\?`).Replace(pattern), text)
	return ok && err == nil
}
