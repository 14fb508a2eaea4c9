package main

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/host/trust/rootkey"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/streams"
)

// signing are the flags of commands that sign for the fleet.
type signing struct {
	*env
	root    string
	useRoot bool
	reach   reach
	timeout time.Duration
}

const defaultDeliver = 5 * time.Second

func newSigning(e *env) signing { return signing{env: e} }

func (s *signing) flags(f *pflag.FlagSet) {
	f.BoolVar(&s.useRoot, "as-root", false, "sign with the root key of the fleet, from --root or the state directory")
	f.StringVar(&s.root, "root", "", "`FILE` of the root key; implies --as-root (passphrase: asked for, or $"+passphraseEnv+")")
	f.DurationVar(&s.timeout, "timeout", defaultDeliver,
		"how long a machine may take to be told; others are told at their next contact")
	s.reach.flags(f)
}

// admin opens the fleet of this controller, with the root key if it is asked for.
func (s *signing) admin() (*admin.Admin, error) {
	dir, err := s.stateDir(agent.RoleController)
	if err != nil {
		return nil, err
	}
	adm, err := admin.OpenAdmin(dir, s.log)
	if err != nil {
		return nil, err
	}
	if s.useRoot || s.root != "" {
		err = s.unlock(adm)
	}
	return adm, err
}

// unlock loads the root key; only a sealed one needs a passphrase.
func (s *signing) unlock(adm *admin.Admin) error {
	err := adm.UnlockRoot(s.root, "")
	if !errors.Is(err, rootkey.ErrNeedPassphrase) {
		return err
	}
	p, err := passphrase(s.ask, false)
	if err != nil {
		return err
	}
	return adm.UnlockRoot(s.root, p)
}

// toldLine is how news reached one member, as a line of JSON.
type toldLine struct {
	Event string         `json:"event"`
	Peer  peer.ID        `json:"peer"`
	Name  string         `json:"name"`
	OK    bool           `json:"ok"`
	Error *streams.Error `json:"error,omitzero"`
}

// deliver takes what was signed to the members that news names, or to all, and prints who has it.
// It returns how many machines have it.
func (s *signing) deliver(ctx context.Context, news agent.News) (told int, err error) {
	c, serving := s.serving(ctx)
	if !serving {
		if c, err = s.reach.controller(s.env); err != nil {
			return 0, err
		}
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	late := 0
	news.TimeoutMs = s.timeout.Milliseconds()
	err = c.Deliver(ctx, news, func(d agent.Delivery) {
		line := toldLine{Event: "told", Peer: d.Target.Peer, Name: d.Target.Display(), OK: d.Err == nil}
		told++
		if d.Err != nil {
			told--
			late++
			line.Error = streams.Errorf(streams.CodeOf(d.Err), "%s", d.Err.Error())
		}
		s.Print(line, func() error {
			if d.Err != nil {
				s.log.Info("a member was not told", "name", line.Name, "err", d.Err)
			}
			return nil
		})
	})
	if err == nil && !s.JSON {
		s.Stderr.Printf("%d members have it now.", told)
		if late > 0 {
			s.Stderr.Printf(" %d could not be reached: they get it at their next contact with any member.", late)
		}
		s.Stderr.Println()
	}
	return told, err
}
