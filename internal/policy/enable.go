package policy

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// EnableHelp says which words of [Policy.Enable] there is something to enable for.
const EnableHelp = "miner=NAME, pool=HOST[:PORT], wallet=NAME, deploy or deploy=NAME, run, shell or shell=USER, workload or workload=DRIVER, power, forward=HOST:PORT, cp=DIR"

// Enable adds what words say, each of which may be several joined by commas: "miner=xmrig,deploy".
// It never takes anything away. On an error, which matches [ErrInvalid], the policy stays as it
// was.
//
// The first miner of a policy without pools or wallets comes with any pool or wallet, unless some
// are named by a word, and "deploy" in a policy without names with any name: else these words alone
// would allow nothing.
func (p *Policy) Enable(words ...string) error {
	to := p.Clone()
	firstMiner := len(to.Miners) == 0
	for word := range strings.SplitSeq(strings.Join(words, ","), ",") {
		if err := to.enable(strings.TrimSpace(word)); err != nil {
			return err
		}
	}
	if firstMiner && len(to.Miners) > 0 {
		orAny(&to.Pools)
		orAny(&to.Wallets)
	}
	if to.Deploy.Enabled && !p.Deploy.Enabled {
		orAny(&to.Deploy.Names)
	}
	if err := to.Validate(); err != nil {
		return err
	}
	*p = to
	return nil
}

func (p *Policy) enable(word string) error {
	kind, value, hasValue := strings.Cut(word, "=")
	lists := map[string]*[]string{
		"miner": &p.Miners, "pool": &p.Pools, "wallet": &p.Wallets, "driver": &p.Drivers, "workload": &p.Drivers, "deploy": &p.Deploy.Names,
		"forward": &p.Forward,
	}
	switch {
	case word == "":
		return nil
	case word == "run":
		p.Run = true
	case word == "power":
		p.Power = true
	case word == "shell":
		p.Shell.Enabled = true
	case kind == "shell" && value != "":
		p.Shell = Shell{Enabled: true, User: value}
	case word == "workload":
		add(&p.Drivers, "process")
		add(&p.Drivers, "wasm") // which may do less
	case word == "deploy":
		p.Deploy.Enabled = true
	case kind == "cp" && value != "":
		add(&p.Copy, filepath.Clean(value))
	case hasValue && value != "" && lists[kind] != nil:
		add(lists[kind], value)
		p.Deploy.Enabled = p.Deploy.Enabled || kind == "deploy"
	default:
		return fmt.Errorf("%w: enable %.80q: want %s", ErrInvalid, word, EnableHelp)
	}
	return nil
}

func add(items *[]string, item string) {
	if !slices.Contains(*items, item) {
		*items = append(*items, item)
	}
}

func orAny(items *[]string) {
	if len(*items) == 0 {
		*items = []string{Any}
	}
}
