package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/internal/settings"
	"github.com/seed-b490fa12/swarm/ops"
)

func opStartMiner() operation {
	var (
		in               ops.StartRequest
		password, config string
	)
	return operation{
		Spec:       ops.StartMiner.Spec(),
		word:       "start",
		otherWords: []string{"mine"},
		short:      "Start a miner, unless it already runs",
		example: `  swarm start rig-01 --miner xmrig --algorithm rx/0 --threads 4 --pool stratum+tcp://pool.example.org:3333 --wallet WALLET
  swarm start rig-01 --miner xmrig --pool stratum+tcp://pool.example.org:3333 --password @pool.txt
  swarm start --all --replace --pool stratum+tcp://other.example.org:3333`,
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&in.Miner, "miner", "", "which `MINER`: refpow or xmrig")
			f.StringVar(&in.Name, "name", "", "the workload's `NAME` (default: the miner's)")
			f.StringVar(&in.Algorithm, "algorithm", "", "the `ALGORITHM`, for example rx/0")
			f.IntVar(&in.Threads, "threads", 0, "how many threads (default: the miner's)")
			f.StringVar(&in.Pool, "pool", "", "the pool's `URL`: stratum+tcp://host:port or stratum+ssl://host:port")
			f.StringVar(&in.Wallet, "wallet", "", "the `WALLET` or user at the pool")
			f.StringVar(&password, "password", "", "the `PASSWORD` at the pool, or @FILE to keep it off the command line")
			f.StringVar(&in.Profile, "profile", "", "the `PROFILE`: eco, balanced or full")
			f.BoolVar(&in.Replace, "replace", false,
				"change what runs: what is not given stays as it is, but the password for another pool")
			f.StringVar(&config, "miner-config", "", "further settings of the miner: `JSON` or @FILE")
		},
		fill: fill(func(r *ops.StartRequest) (err error) {
			if password, err = settings.Argument(password, nil); err != nil {
				return fmt.Errorf("--password: %w", err)
			}
			if config, err = settings.Argument(config, nil); err != nil {
				return fmt.Errorf("--miner-config: %w", err)
			}
			set(&r.Miner, in.Miner)
			set(&r.Name, in.Name)
			set(&r.Algorithm, in.Algorithm)
			set(&r.Threads, in.Threads)
			set(&r.Pool, in.Pool)
			set(&r.Wallet, in.Wallet)
			set(&r.Password, strings.TrimRight(password, "\r\n"))
			set(&r.Profile, in.Profile)
			if config != "" {
				r.Config = jsontext.Value(config)
			}
			set(&r.Replace, in.Replace)
			if r.Miner == "" && !r.Replace {
				return errors.New("start which miner? Give --miner, for example --miner refpow")
			}
			return nil
		}),
		table: results.Miners,
	}
}
