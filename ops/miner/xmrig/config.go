package xmrig

import (
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/ops/miner"
)

// config is the part of XMRig's configuration that we write. What is missing has XMRig's default.
type config struct {
	Version    int            `json:"version,omitzero"` // 1 keeps the threads we ask for
	Autosave   bool           `json:"autosave"`
	Background bool           `json:"background"`
	Colors     bool           `json:"colors"`
	Watch      bool           `json:"watch"`
	Donate     int            `json:"donate-level"`
	API        api            `json:"api"`
	HTTP       httpAPI        `json:"http"`
	CPU        map[string]any `json:"cpu"`
	RandomX    map[string]any `json:"randomx"`
	OpenCL     enabled        `json:"opencl"`
	CUDA       enabled        `json:"cuda"`
	Pools      []poolConfig   `json:"pools"`

	More map[string]any `json:",embed"` // what the request adds, see allowed
}

type api struct {
	Worker string `json:"worker-id"`
}

type httpAPI struct {
	Enabled    bool   `json:"enabled"`
	Host       string `json:"host"`
	Port       int    `json:"port"`
	Token      string `json:"access-token"`
	Restricted bool   `json:"restricted"`
}

type enabled struct {
	Enabled bool `json:"enabled"`
}

type poolConfig struct {
	URL       string  `json:"url"`
	User      string  `json:"user"`
	Pass      string  `json:"pass"`
	Rig       string  `json:"rig-id"`
	Algorithm *string `json:"algo"` // null: as the pool says
	Keepalive bool    `json:"keepalive"`
	TLS       bool    `json:"tls"`
	Enabled   bool    `json:"enabled"`
}

// render makes the configuration for what is asked.
func render(spec miner.Spec) ([]byte, error) {
	if spec.Pool == "" || spec.Wallet == "" {
		return nil, miner.Refuse("xmrig needs a pool and a wallet: there is no default, as it would mine for somebody else")
	}
	pool, err := miner.ParsePool(spec.Pool)
	if err != nil {
		return nil, miner.Refuse("%s", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	c := config{
		Donate: DonateLevel,
		API:    api{Worker: spec.Name},
		HTTP:   httpAPI{Enabled: true, Host: "127.0.0.1", Port: port, Token: rand.Text(), Restricted: true},
		CPU:    map[string]any{"enabled": true},
		// Without our leave XMRig, when it may, changes registers of the processor for the whole
		// machine.
		RandomX: map[string]any{"wrmsr": false, "rdmsr": false},
		Pools: []poolConfig{{
			URL: pool.Address(), User: spec.Wallet, Pass: spec.Password, Rig: spec.Name, Keepalive: true, TLS: pool.TLS, Enabled: true,
		}},
	}
	if spec.Algorithm != "" {
		c.Pools[0].Algorithm = &spec.Algorithm
	}
	if spec.Threads > 0 {
		c.Version = 1
		c.CPU["*"] = map[string]any{"intensity": 1, "threads": spec.Threads, "affinity": -1}
	}
	if err := c.merge(spec.Config); err != nil {
		return nil, err
	}
	b, err := json.Marshal(c, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("encode xmrig config: %w", err)
	}
	return b, nil
}

// allowed lists the further settings a request may make: how the machine is used, and nothing that
// opens a port, writes a file, or changes who gets the coins.
func allowed(section string) []string {
	switch section {
	case "cpu":
		return []string{"huge-pages", "huge-pages-jit", "hw-aes", "priority", "memory-pool", "yield", "max-threads-hint", "asm"}
	case "randomx":
		return []string{"init", "init-avx2", "mode", "1gb-pages", "numa", "scratchpad_prefetch_mode"}
	}
	return []string{"print-time", "health-print-time", "retries", "retry-pause", "pause-on-battery", "pause-on-active"}
}

// merge adds the request's further settings.
func (c *config) merge(raw jsontext.Value) error {
	if len(raw) == 0 {
		return nil
	}
	var settings map[string]any
	if err := json.Unmarshal(raw, &settings); err != nil {
		return miner.Refuse("config is not an object")
	}
	for key, value := range settings {
		switch key {
		case "cpu":
			if err := mergeSection(c.CPU, key, value); err != nil {
				return err
			}
		case "randomx":
			if err := mergeSection(c.RandomX, key, value); err != nil {
				return err
			}
		default:
			if c.More == nil {
				c.More = make(map[string]any)
			}
			if err := mergeSection(c.More, "", map[string]any{key: value}); err != nil {
				return err
			}
		}
	}
	return nil
}

func mergeSection(into map[string]any, section string, value any) error {
	settings, ok := value.(map[string]any)
	if !ok {
		return miner.Refuse("config: %s is not an object", section)
	}
	for key, v := range settings {
		if !slices.Contains(allowed(section), key) {
			return miner.Refuse("config: %.40q can not be set; in this place there are: %s",
				key, strings.Join(allowed(section), ", "))
		}
		switch v.(type) {
		case map[string]any, []any:
			return miner.Refuse("config: %s must be a plain value", key)
		}
		into[key] = v
	}
	return nil
}

// freePort finds a port nobody listens on. Somebody else may take it before XMRig does; then XMRig
// has no interface, and the workload shows as degraded.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
