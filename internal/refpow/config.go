package refpow

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/ops/miner"
)

// Config is what the miner needs to know. It stands in a file that only its owner can read.
type Config struct {
	Pool     string `json:"pool"` // see miner.ParsePool
	User     string `json:"user"`
	Password string `json:"password,omitzero"`
	Threads  int    `json:"threads"` // 0 counts as 1
	// Status is the path of the file to tell the status in, rewritten each second; empty for none.
	Status string `json:"status,omitzero"`
	// Parent is the process to end with, used by Main; 0 for the one that started this process.
	Parent int `json:"parent,omitzero"`
}

// ReadConfig reads a Config from a JSON file.
func ReadConfig(path string) (Config, error) {
	b, err := readSmall(path)
	if err != nil {
		return Config{}, fmt.Errorf("read config: %w", err)
	}
	var cfg Config
	if err := json.Unmarshal(b, &cfg, json.RejectUnknownMembers(true)); err != nil {
		return Config{}, fmt.Errorf("read config %s: %w", path, err)
	}
	return cfg, nil
}

// validate also reads the pool's address.
func (c Config) validate() (miner.Pool, error) {
	if c.Threads < 0 || c.Threads > miner.MaxThreads {
		return miner.Pool{}, fmt.Errorf("%d threads, at most %d", c.Threads, miner.MaxThreads)
	}
	if len(c.User) > miner.MaxUser+1+miner.MaxName {
		return miner.Pool{}, fmt.Errorf("user is longer than %d bytes", miner.MaxUser+1+miner.MaxName)
	}
	if err := miner.ValidUser("password", c.Password); err != nil {
		return miner.Pool{}, err
	}
	return miner.ParsePool(c.Pool)
}

// readSmall reads a file of at most maxFile bytes.
func readSmall(path string) ([]byte, error) {
	f, err := durable.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return durable.ReadAll(f, path, maxFile)
}
