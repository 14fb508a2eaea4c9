package main

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/control"
	"github.com/seed-b490fa12/swarm/internal/membership"
	"github.com/seed-b490fa12/swarm/streams"
)

// signing are the flags of commands that sign for the fleet.
type signing struct {
	root    string
	useRoot bool
	reach   reach
	timeout time.Duration
}

const defaultDeliver = 5 * time.Second

func (s *signing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&s.useRoot, "as-root", false, "sign with the fleet's root key, which --root or the state directory holds")
	f.StringVar(&s.root, "root", "", "`FILE` of the root key; implies --as-root (passphrase: asked for, or $"+passphraseEnv+")")
	f.DurationVar(&s.timeout, "timeout", defaultDeliver, "how long a machine may take to hear of it; others hear at their next contact")
	s.reach.flags(cmd)
}

// admin opens the fleet of this controller, with the root key where it is asked for.
func (a *app) admin(s *signing) (*admin.Admin, error) {
	dir, err := a.stateDir(agent.RoleController)
	if err != nil {
		return nil, err
	}
	adm, err := admin.OpenAdmin(dir, a.log)
	if err != nil {
		return nil, err
	}
	if s != nil && (s.useRoot || s.root != "") {
		err = a.unlock(adm, s.root)
	}
	return adm, err
}

// unlock loads the root key; only a sealed one needs a passphrase.
func (a *app) unlock(adm *admin.Admin, path string) error {
	err := adm.UnlockRoot(path, "")
	if !errors.Is(err, trust.ErrNeedPassphrase) {
		return err
	}
	p, err := a.passphrase(false)
	if err != nil {
		return err
	}
	return adm.UnlockRoot(path, p)
}

// toldLine is how news reached one member, as a line of JSON.
type toldLine struct {
	Event string         `json:"event"`
	Peer  peer.ID        `json:"peer"`
	Name  string         `json:"name"`
	OK    bool           `json:"ok"`
	Error *streams.Error `json:"error,omitzero"`
}

// deliver takes what was signed to these members, or to all, and says who has it. It returns how many
// machines have it.
func (a *app) deliver(ctx context.Context, s *signing, news agent.News) (told int, err error) {
	c, err := a.deliverer(ctx, s.reach)
	if err != nil {
		return 0, err
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
		a.print(line, func() error {
			if d.Err != nil {
				a.log.Info("a member was not told", "name", line.Name, "err", d.Err)
			}
			return nil
		})
	})
	if err == nil && !a.json {
		a.stderr.printf("%d members have it now.", told)
		if late > 0 {
			a.stderr.printf(" %d could not be reached: they get it at their next contact with any member.", late)
		}
		a.stderr.println()
	}
	return told, err
}

// deliverer is the long-lived controller of this machine, or one of our own.
func (a *app) deliverer(ctx context.Context, r reach) (control.Commander, error) {
	dir, err := a.stateDir(agent.RoleController)
	if err != nil {
		return nil, err
	}
	return control.Open(ctx, dir, func() (*agent.Controller, error) { return a.controller(r, false) })
}

// fleetDirs are the state directories on this machine that are in a fleet: the one
// of --state, or the usual ones.
func (a *app) fleetDirs() (dirs []string, err error) {
	roles := []string{agent.RoleController, agent.RoleWorker, agent.RoleRelay}
	if a.state != "" {
		roles = roles[:1]
	}
	for _, role := range roles {
		dir, err := a.stateDir(role)
		if err != nil {
			return nil, err
		}
		if trust.InFleet(membership.Dir(dir)) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
