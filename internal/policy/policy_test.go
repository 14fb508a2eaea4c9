package policy

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/ops/driver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// full is the policy of testdata/policy.json.
func full() Policy {
	return Policy{
		Drivers: []string{}, Miners: []string{"xmrig"}, Pools: []string{"*.pool.example:3333"}, Wallets: []string{"*"},
		Deploy: Deploy{Enabled: true, MaxBytes: 1 << 20, Names: []string{"web-*"}},
		Caps:   Caps{Threads: 4},
	}
}

// TestDefaultRefusesAll asks the default policy for everything.
func TestDefaultRefusesAll(t *testing.T) {
	p := Default()
	for name, err := range map[string]error{
		"miner": p.CheckMiner("xmrig"), "no miner": p.CheckMiner(""), "pool": p.CheckPool("stratum+tcp://a:1"),
		"no pool": p.CheckPool(""), "wallet": p.CheckWallet("w"), "no wallet": p.CheckWallet(""),
		"deploy": p.CheckDeploy("web", 0),
	} {
		if refusal, ok := errors.AsType[*Refusal](err); !ok || !errors.Is(err, ErrRefused) || refusal.Rule == "" {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	p := full()
	listed := p.Clone()
	listed.Wallets = []string{"44abc"}
	unlimited := Policy{Deploy: Deploy{Enabled: true, Names: []string{"*"}}}
	for _, tt := range []struct {
		name string
		err  error
		want string // "" means allowed
	}{
		{"miner", p.CheckMiner("xmrig"), ""},
		{"other miner", p.CheckMiner("other"), `miner "other" is not in the owner's list (policy.json: miners); the owner of this machine allows it with: --enable miner=other`},
		{"pool", p.CheckPool("stratum+tcp://eu.pool.example:3333"), ""},
		{"other pool", p.CheckPool("stratum+tcp://evil:3333"), `pool "evil:3333" is not in the owner's list (policy.json: pools)`},
		{"pool in a user name", p.CheckPool("stratum+tcp://eu.pool.example:3333@evil:1"), `pool "evil:1" is not in the owner's list (policy.json: pools)`},
		{"no pool", p.CheckPool(""), "no pool is named, and the owner allows certain ones only (policy.json: pools)"},
		{"no port", p.CheckPool("stratum+tcp://eu.pool.example"), `pool "stratum+tcp://eu.pool.example" is not of the form scheme://host:port (policy.json: pools)`},
		{"no scheme", p.CheckPool("eu.pool.example:3333"), `pool "eu.pool.example:3333" is not of the form scheme://host:port (policy.json: pools)`},
		{"any wallet", p.CheckWallet("w"), ""},
		{"any wallet, none named", p.CheckWallet(""), ""},
		{"wallet", listed.CheckWallet("44abc"), ""},
		{"other wallet", listed.CheckWallet("44abd"), "the wallet is not in the owner's list (policy.json: wallets)"},
		{"no wallet", listed.CheckWallet(""), "no wallet is named, and the owner allows certain ones only (policy.json: wallets)"},
		{"deploy of n bytes", p.CheckDeploy("web-1", 1<<20), ""},
		{"deploy of n+1 bytes", p.CheckDeploy("web-1", 1<<20+1), "a bundle of 1048577 bytes is too large, the owner allows 1048576 (policy.json: deploy.maxBytes)"},
		{"deploy of less than nothing", unlimited.CheckDeploy("x", -1), "a bundle of -1 bytes is too large, the owner allows 0 (policy.json: deploy.maxBytes)"},
		{"deploy without a cap", unlimited.CheckDeploy("x", 1<<60), ""},
		{"other deploy", p.CheckDeploy("db", 1), `deployment "db" is not in the owner's list (policy.json: deploy.names)`},
		{"run", Policy{Run: true}.CheckRun(), ""},
		{"no run", Default().CheckRun(), "the owner allows no commands to be run (policy.json: run); the owner of this machine allows it with: --enable run"},
		{"shell", Policy{Shell: Shell{Enabled: true}}.CheckShell(), ""},
		{"no shell", Policy{Run: true, Shell: Shell{User: "op"}}.CheckShell(), "the owner allows no shells (policy.json: shell.enabled); the owner of this machine allows it with: --enable shell"},
		{"forward", Policy{Forward: []string{"127.0.0.1:80"}}.CheckForward("127.0.0.1:80"), ""},
		{"no forward", Default().CheckForward("127.0.0.1:80"), "the owner allows no connections to be forwarded (policy.json: forward); the owner of this machine allows it with: --enable forward=127.0.0.1:80"},
		{"another port", Policy{Forward: []string{"127.0.0.1:80", "[::1]:80"}}.CheckForward("127.0.0.1:8"), "127.0.0.1:8 is not in the owner's list of 127.0.0.1:80, [::1]:80 (policy.json: forward); the owner of this machine allows it with: --enable forward=127.0.0.1:8"},
		{"a long list", Policy{Forward: make([]string, 10)}.CheckForward("a:1"), "a:1 is not in the owner's list of , , , , , , ,  and 2 more (policy.json: forward); the owner of this machine allows it with: --enable forward=a:1"},
		{"no deploy", Default().CheckDeploy("web-1", 1), "the owner allows no deployments (policy.json: deploy.enabled); the owner of this machine allows it with: --enable deploy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(tt.err); got != tt.want && (tt.err != nil || tt.want != "") {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestPoolPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern, pool string
		want          bool
	}{
		{"pool.example", "stratum+tcp://pool.example:3333", true},
		{"pool.example", "stratum+ssl://POOL.example:1", true},
		{"Pool.Example:3333", "stratum+tcp://pool.example:3333", true},
		{"pool.example:3333", "stratum+tcp://pool.example:3334", false},
		{"pool.example:3333", "stratum+tcp://pool.example:33333", false},
		{"pool.example:*", "stratum+tcp://pool.example:9", true},
		{"pool.example", "stratum+tcp://xpool.example:1", false},
		{"pool.example", "stratum+tcp://pool.example.evil:1", false},
		{"*.pool.example", "stratum+tcp://a.b.pool.example:1", true},
		{"*.pool.example", "stratum+tcp://pool.example:1", false},
		{"*.pool.example", "stratum+tcp://evil:1#.pool.example", false},
		{"pool*:3333", "stratum+tcp://pool7:3333", true},
		{"10.0.0.*", "stratum+tcp://10.0.0.7:3333", true},
		{"::1", "stratum+tcp://[::1]:3333", true},
		{"[::1]:3333", "stratum+tcp://[::1]:3333", true},
		{"[::1]:3333", "stratum+tcp://[::2]:3333", false},
		{"*", "anything", true},
	} {
		t.Run(tt.pattern+" "+tt.pool, func(t *testing.T) {
			p := Policy{Pools: []string{tt.pattern}}
			if err := p.Validate(); err != nil {
				t.Fatal(err)
			}
			if err := p.CheckPool(tt.pool); (err == nil) != tt.want {
				t.Errorf("got %v, want allowed %v", err, tt.want)
			}
		})
	}
}

func TestCaps(t *testing.T) {
	capped := Policy{Caps: Caps{Threads: 4}}
	for _, tt := range []struct {
		name        string
		p           Policy
		asked, want int
		ok          bool
	}{
		{"default", capped, 0, 4, true},
		{"less", capped, 3, 3, true},
		{"all", capped, 4, 4, true},
		{"one more", capped, 5, 0, false},
		{"below 0", capped, -1, 0, false},
		{"no cap", Default(), 99, 99, true},
		{"no cap, default", Default(), 0, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.p.Threads(tt.asked)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("got %d, %v; want %d, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
	if _, err := capped.Threads(5); fmt.Sprint(err) != "5 threads are asked, the owner allows 4 (policy.json: caps.threads)" {
		t.Error(err)
	}
}

// A workload gets what it asks for within the caps, and the caps where it asks for nothing.
func TestLimits(t *testing.T) {
	half := float64(runtime.NumCPU()) / 2
	capped := Policy{Caps: Caps{CPUPercent: 50, MemoryBytes: 1 << 30, Processes: 100}}
	most := driver.Limits{MemoryBytes: 1 << 30, CPU: half, Processes: 100}
	less := driver.Limits{MemoryBytes: 1 << 20, CPU: half / 2, Processes: 1}
	for _, tt := range []struct {
		name        string
		p           Policy
		asked, want driver.Limits
		refused     string
	}{
		{"nothing asked", capped, driver.Limits{}, most, ""},
		{"all of it", capped, most, most, ""},
		{"less", capped, less, less, ""},
		{"one asked", capped, driver.Limits{CPU: half / 2}, driver.Limits{MemoryBytes: 1 << 30, CPU: half / 2, Processes: 100}, ""},
		{"a byte more", capped, driver.Limits{MemoryBytes: 1<<30 + 1}, most, "1073741825 bytes of memory are asked, the owner allows 1073741824 (policy.json: caps.memoryBytes)"},
		{"a little more", capped, driver.Limits{CPU: half + 0.01}, most, "caps.cpuPercent"},
		{"one process more", capped, driver.Limits{Processes: 101}, most, "caps.processes"},
		{"no caps", Default(), most, most, ""},
		{"no caps, nothing asked", Default(), driver.Limits{}, driver.Limits{}, ""},
	} {
		got, err := tt.p.Limits(tt.asked)
		switch {
		case tt.refused == "" && (err != nil || got != tt.want):
			t.Errorf("%s: got %+v, %v; want %+v", tt.name, got, err, tt.want)
		case tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused)):
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.refused)
		}
	}
	for _, bad := range []Caps{{MemoryBytes: -1}, {MemoryBytes: 1}, {Processes: -1}, {CPUPercent: 101}} {
		if err := (Policy{Caps: bad}).Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if text := capped.Status().String(); !strings.Contains(text, "50 % of the processors at most; 1GiB of memory at most; 100 processes at most") {
		t.Error(text)
	}
}

func TestEnable(t *testing.T) {
	anyPool := func(miners ...string) Policy {
		return Policy{Miners: miners, Pools: []string{"*"}, Wallets: []string{"*"}}
	}
	for _, tt := range []struct {
		name  string
		from  Policy
		words []string
		want  Policy
		ok    bool
	}{
		{"nothing", Default(), nil, Default(), true},
		{"empty words", Default(), []string{"", " , "}, Default(), true},
		{"miner", Default(), []string{"miner=xmrig"}, anyPool("xmrig"), true},
		{"twice", Default(), []string{"miner=xmrig, miner=xmrig", "miner=refpow"}, anyPool("xmrig", "refpow"), true},
		{
			"miner for a pool", Default(), []string{"pool=a:1,miner=xmrig"},
			Policy{Miners: []string{"xmrig"}, Pools: []string{"a:1"}, Wallets: []string{"*"}}, true,
		},
		{
			"the owner's pools stay", Policy{Pools: []string{"a"}, Wallets: []string{"w"}}, []string{"miner=xmrig"},
			Policy{Miners: []string{"xmrig"}, Pools: []string{"a"}, Wallets: []string{"w"}}, true,
		},
		{
			"a second miner widens nothing", Policy{Miners: []string{"refpow"}}, []string{"miner=xmrig"},
			Policy{Miners: []string{"refpow", "xmrig"}}, true,
		},
		{"deploy", Default(), []string{"deploy"}, Policy{Deploy: Deploy{Enabled: true, Names: []string{"*"}}}, true},
		{"one deploy", Default(), []string{"deploy=web"}, Policy{Deploy: Deploy{Enabled: true, Names: []string{"web"}}}, true},
		{"deploy twice", Default(), []string{"deploy,deploy=web"}, Policy{Deploy: Deploy{Enabled: true, Names: []string{"web"}}}, true},
		{
			"deploy that was so", Policy{Deploy: Deploy{Enabled: true}}, []string{"deploy"},
			Policy{Deploy: Deploy{Enabled: true}}, true,
		},
		{"run and driver", Default(), []string{"run", "driver=wasm"}, Policy{Run: true, Drivers: []string{"wasm"}}, true},
		{"shell", Default(), []string{"shell"}, Policy{Shell: Shell{Enabled: true}}, true},
		{"a user's shell", Default(), []string{"shell=op"}, Policy{Shell: Shell{true, "op"}}, true},
		{"the shell of the user that was named", Policy{Shell: Shell{User: "op"}}, []string{"shell"}, Policy{Shell: Shell{true, "op"}}, true},
		{"the shell of no user", Default(), []string{"shell="}, Default(), false},
		{"the shell of two users", Default(), []string{"shell=a:b"}, Default(), false},
		{"wallet", Default(), []string{"wallet=w"}, Policy{Wallets: []string{"w"}}, true},
		{"unknown", Default(), []string{"miner=xmrig,fly"}, Default(), false},
		{"no name", Default(), []string{"miner="}, Default(), false},
		{"only the kind", Default(), []string{"miner"}, Default(), false},
		{"all miners", Default(), []string{"miner=*"}, Default(), false},
		{"forward", Default(), []string{"forward=127.0.0.1:80,forward=[::1]:80"}, Policy{Forward: []string{"127.0.0.1:80", "[::1]:80"}}, true},
		{"forward anywhere", Default(), []string{"forward=*"}, Default(), false},
		{"forward to any port", Default(), []string{"forward=127.0.0.1:*"}, Default(), false},
		{"forward to all", Default(), []string{"forward=0.0.0.0:80"}, Default(), false},
		{"forward to a port", Default(), []string{"forward=80"}, Default(), false},
		{"forward", Default(), []string{"forward"}, Default(), false},
		{"run with a value", Default(), []string{"run=false"}, Default(), false},
		{"bad pool", Default(), []string{"pool=stratum+tcp://a:1"}, Default(), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.from.Clone()
			err := got.Enable(tt.words...)
			if (err == nil) != tt.ok || (err != nil && !errors.Is(err, ErrInvalid)) {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestEnableLeavesTheOriginal(t *testing.T) {
	p := full()
	p.Miners = slices.Grow(p.Miners, 8)
	q := p
	if err := q.Enable("miner=a"); err != nil {
		t.Fatal(err)
	}
	if err := p.Enable("miner=b"); err != nil || q.Miners[1] != "a" {
		t.Errorf("got %v, %v: the two policies share a list", q.Miners, err)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*Policy)
		want string // a part of the error; "" means valid
	}{
		{"full", func(*Policy) {}, ""},
		{"n items", func(p *Policy) { p.Wallets = slices.Repeat([]string{"w"}, MaxList) }, ""},
		{"n+1 items", func(p *Policy) { p.Wallets = slices.Repeat([]string{"w"}, MaxList+1) }, "wallets: 257 items"},
		{"n bytes", func(p *Policy) { p.Wallets = []string{strings.Repeat("w", MaxItem)} }, ""},
		{"n+1 bytes", func(p *Policy) { p.Wallets = []string{"w", strings.Repeat("w", MaxItem+1)} }, "wallets[1]: need 1 to 256 bytes"},
		{"empty item", func(p *Policy) { p.Miners = []string{""} }, "miners[0]"},
		{"space", func(p *Policy) { p.Miners = []string{"x y"} }, "not printable ASCII"},
		{"control character", func(p *Policy) { p.Deploy.Names = []string{"x\x1b"} }, "deploy.names[0]"},
		{"not ASCII", func(p *Policy) { p.Drivers = []string{"wäsm"} }, "drivers[0]"},
		{"all drivers", func(p *Policy) { p.Drivers = []string{"*"} }, "has to be named"},
		{"pool with a scheme", func(p *Policy) { p.Pools = []string{"stratum+tcp://a:1"} }, "pools[0]"},
		{"pool with a user", func(p *Policy) { p.Pools = []string{"u@a:1"} }, "without a scheme"},
		{"port 0", func(p *Policy) { p.Pools = []string{"a:0"} }, "the port"},
		{"port 65535", func(p *Policy) { p.Pools = []string{"a:65535"} }, ""},
		{"port 65536", func(p *Policy) { p.Pools = []string{"a:65536"} }, "the port"},
		{"port 03", func(p *Policy) { p.Pools = []string{"a:03"} }, "the port"},
		{"no port", func(p *Policy) { p.Pools = []string{"a:"} }, "the port"},
		{"no host", func(p *Policy) { p.Pools = []string{":1"} }, "need a host"},
		{"many colons", func(p *Policy) { p.Pools = []string{"a:1:2"} }, "in brackets"},
		{"a long user", func(p *Policy) { p.Shell.User = strings.Repeat("u", maxUser) }, ""},
		{"a longer user", func(p *Policy) { p.Shell.User = strings.Repeat("u", maxUser+1) }, "shell.user"},
		{"an option as a user", func(p *Policy) { p.Shell.User = "-u" }, "shell.user"},
		{"a path as a user", func(p *Policy) { p.Shell.User = "a/b" }, "shell.user"},
		{"bytes", func(p *Policy) { p.Deploy.MaxBytes = -1 }, "deploy.maxBytes"},
		{"bytes in all", func(p *Policy) { p.Deploy.TotalBytes = -1 }, "deploy.totalBytes"},
		{"threads", func(p *Policy) { p.Caps.Threads = MaxThreads }, ""},
		{"runs", func(p *Policy) { p.Caps.Runs = MaxRuns }, ""},
		{"more runs", func(p *Policy) { p.Caps.Runs = MaxRuns + 1 }, "caps.runs"},
		{"less than no runs", func(p *Policy) { p.Caps.Runs = -1 }, "caps.runs"},
		{"more threads", func(p *Policy) { p.Caps.Threads = MaxThreads + 1 }, "caps.threads"},
		{"fewer threads", func(p *Policy) { p.Caps.Threads = -1 }, "caps.threads"},
		{"percent", func(p *Policy) { p.Caps.CPUPercent = 100 }, ""},
		{"more percent", func(p *Policy) { p.Caps.CPUPercent = 101 }, "caps.cpuPercent"},
		{"memory", func(p *Policy) { p.Caps.MemoryBytes = -1 }, "caps.memoryBytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := full()
			tt.edit(&p)
			err := p.Validate()
			if tt.want == "" && err != nil {
				t.Error(err)
			}
			if tt.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}
