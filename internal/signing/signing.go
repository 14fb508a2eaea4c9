// Package signing is what the commands have in common that sign for the fleet: their flags, what a
// person is shown and asked before, and the delivery to the members with a line for each.
package signing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/rootkey"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/control"
	"github.com/seed-b490fa12/swarm/internal/lines"
	"github.com/seed-b490fa12/swarm/internal/span"
	"github.com/seed-b490fa12/swarm/streams"
)

// Signer signs for the fleet, as the flags of a command say.
type Signer struct {
	*console.Env
	Root    string // the file of the root key; empty: that of the state directory
	UseRoot bool   // sign with the root key
	Reach   connect.Reach
	Timeout time.Duration // for each member that is told
	Yes     bool          // the person need not be asked
	full    int           // members that had no room for what was delivered
}

// DefaultTimeout is how long a member may take to be told.
const DefaultTimeout = 5 * time.Second

// New returns a signer that flags have told nothing yet.
func New(e *console.Env) Signer { return Signer{Env: e} }

// Flags declares the flags of commands that sign.
func (s *Signer) Flags(f *pflag.FlagSet) {
	f.BoolVar(&s.UseRoot, "as-root", false, "sign with the root key of the fleet, from --root or the state directory")
	f.StringVar(&s.Root, "root", "", "`FILE` of the root key; implies --as-root (passphrase: asked for, or $"+console.PassphraseEnv+")")
	span.Var(f, &s.Timeout, "timeout", DefaultTimeout,
		"how long a machine may take to be told; others are told at their next contact")
	s.Reach.Flags(f)
}

// YesFlag is for commands that sign for members of whom a person may have to be asked.
func (s *Signer) YesFlag(f *pflag.FlagSet) {
	f.BoolVar(&s.Yes, "yes", false, "sign without asking: for members whose signer has ended, or whose rights another issuer gave")
}

// Look shows a person the member that has to be looked at before anything is signed for it, and
// asks.
func (s *Signer) Look(adm *admin.Admin, m trust.Member) error {
	why := adm.LookFirst(m)
	if why == nil || s.Yes {
		return nil
	}
	if err := s.Stderr.Block("", Describe(adm, m)); err != nil {
		return err
	}
	yes, err := s.Ask.Confirm(fmt.Sprintf("Is %s yours, and is that right?", m.Grant.Name))
	if err == nil && !yes {
		err = fmt.Errorf("not signed for: %w", why)
	}
	return err
}

// Admin opens the fleet of this controller, with the root key if it is asked for.
func (s *Signer) Admin() (*admin.Admin, error) {
	dir, err := s.StateDir(agent.RoleController)
	if err != nil {
		return nil, err
	}
	adm, err := admin.OpenAdmin(dir, s.Log)
	if err != nil {
		return nil, err
	}
	if s.UseRoot || s.Root != "" {
		err = s.unlock(adm)
	}
	return adm, err
}

// unlock loads the root key; only a sealed one needs a passphrase.
func (s *Signer) unlock(adm *admin.Admin) error {
	err := adm.UnlockRoot(s.Root, "")
	if !errors.Is(err, rootkey.ErrNeedPassphrase) {
		return err
	}
	p, err := s.Passphrase(false)
	if err != nil {
		return err
	}
	return adm.UnlockRoot(s.Root, p)
}

// Told is how news reached one member, as a line of JSON.
type Told struct {
	Event string       `json:"event"`
	Peer  peer.ID      `json:"peer"`
	Name  string       `json:"name"`
	OK    bool         `json:"ok"`
	Error *lines.Error `json:"error,omitzero"`
}

// Deliver takes what was signed to the members that news names, or to all, and prints who has it.
// It returns how many machines have it.
func (s *Signer) Deliver(ctx context.Context, news agent.News) (told int, err error) {
	told, late, err := s.Meet(ctx, news, func(line Told, err error) {
		if streams.CodeOf(err) == streams.CodeTooLarge {
			s.full++
		}
		s.Print(line, func() error {
			if err != nil {
				s.Log.Info("a member was not told", "name", line.Name, "err", err)
			}
			return nil
		})
	})
	if err == nil && !s.JSON {
		have := "members have"
		if told == 1 {
			have = "member has"
		}
		s.Stderr.Printf("%d %s it now.", told, have)
		if late -= s.full; late > 0 {
			s.Stderr.Printf(" %d could not be reached: they get it at their next contact with any member.", late)
		}
		s.Stderr.Println()
	}
	if err == nil && s.full > 0 {
		err = &console.Exit{Code: console.ExitPartial, Err: fmt.Errorf("members that have no room for what this key revokes, so that it does "+
			"not count there: %d; a thief who has the key may have used it up; do the same with the root key (--as-root)", s.full)}
	}
	return told, err
}

// Meet exchanges what is known with the members that news names, or with all. It returns how many
// were met, and how many were not.
func (s *Signer) Meet(ctx context.Context, news agent.News, each func(Told, error)) (met, late int, err error) {
	var c control.Commander
	if remote, ok := s.Serving(ctx); ok {
		c = remote
	} else if c, err = s.Reach.Controller(s.Env); err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	news.TimeoutMs = s.Within(s.Timeout).Milliseconds()
	err = c.Deliver(ctx, news, func(d agent.Delivery) {
		line := Told{Event: "told", Peer: d.Target.Peer, Name: d.Target.Display(), OK: d.Err == nil}
		if d.Err == nil {
			met++
		} else {
			late++
			line.Error = lines.NewError(d.Err)
		}
		each(line, d.Err)
	})
	return met, late, err
}
