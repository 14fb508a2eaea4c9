package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/ask"
	"github.com/seed-b490fa12/swarm/internal/control"
	"github.com/seed-b490fa12/swarm/internal/handout"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/selector"
	"github.com/seed-b490fa12/swarm/internal/signing"
	"github.com/seed-b490fa12/swarm/internal/span"
)

const (
	defaultTTL = 15 * time.Minute
	maxTTL     = 30 * 24 * time.Hour
	// lingers is how long an invite without a long-lived controller stays, to tell
	// a second machine in words that the ticket was used.
	lingers   = 60 * time.Second
	lookEvery = 300 * time.Millisecond
)

// invitation is what the flags of invite say.
type invitation struct {
	admin.Ticket
	role, verbs, peer string
	anyVerb           bool
	labels            []string
	via, to           string
	qr                string
	files             handout.Files
	signing.Signer
	listen []string
}

func newInviteCommand(e *env) *cobra.Command {
	in := invitation{Signer: signing.New(e)}
	cmd := &cobra.Command{
		Use:        "invite NAME",
		SuggestFor: []string{"add", "ticket"},
		Short:      "Let a machine into the fleet: print a ticket for it",
		Long: `Let a machine into the fleet: print a one-time ticket, which "swarm join" takes on that machine.
Anyone who has the ticket can use it, once, until it expires.

If "swarm controller serve" runs on this machine, it redeems the ticket and this command returns at
once. Otherwise the command waits until the ticket has been used or has expired, and a minute longer to
tell others that it was used.

A machine that cannot reach this one can be called instead: run "swarm join --wait" there, and give
the address that it prints as --to.

A member that may do more than read must be confirmed: the command shows the peer ID of the machine
that brings the ticket, and asks. An issuer, which may let others in, is named by its peer ID (--peer)
and signed by the root key.`,
		Example: `  swarm invite rig-01 --label gpu=3080
  swarm invite friend --role viewer --for 24h
  swarm invite rig-03 --ticket-file rig-03.ticket
  swarm invite rig-04 --qr png
  swarm invite laptop2 --role controller --peer 12D3KooW…
  swarm invite rig-02 --to /ip4/192.0.2.7/tcp/4747/p2p/12D3KooW…`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			in.Name = args[0]
			if err := in.parse(); err != nil {
				return err
			}
			return in.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.role, "role", string(trust.RoleWorker),
		"the role of the machine: worker, relay, viewer, controller or issuer")
	f.StringSliceVar(&in.labels, "label", nil, "a label, `KEY=VALUE`; may be repeated")
	span.Var(f, &in.TTL, "ttl", defaultTTL, "how long the ticket can be used")
	span.Var(f, &in.Lifetime, "for", 0,
		"how long the machine stays a member (default: the term of its role, renewed automatically)")
	f.StringVar(&in.verbs, "verbs", "",
		"`VERBS` it gets, separated by commas, instead of those of its role; none for none")
	anyVerbFlag(f, &in.anyVerb)
	f.Var(selector.Value{Text: &in.On}, "on", "`SELECTOR` of the machines where its verbs hold, such as gpu=3080; may "+
		"be repeated, and all must fit (default: all machines)")
	f.StringVar(&in.peer, "peer", "", "`PEER` ID that alone may use the ticket")
	f.StringVar(&in.via, "via", "", "`NAME` of a member that may let others in and redeems the ticket instead")
	f.StringVar(&in.to, "to", "", "`MADDR` of a machine that waits (swarm join --wait): bring the ticket there")
	f.StringVar(&in.qr, "qr", "true", "`HOW` to show the ticket as a QR code: true on a terminal, png as the picture "+
		"NAME.png, or false")
	f.StringVar(&in.files.Text, "ticket-file", "", "write the ticket to a new `FILE`, and do not print it")
	f.StringArrayVar(&in.listen, "listen", nil,
		"`MADDR` to listen on while the ticket is open; may be repeated (default: TCP and QUIC on port 4747)")
	in.Signer.Flags(f)
	cmd.MarkFlagsMutuallyExclusive("via", "to")
	return cmd
}

func (in *invitation) parse() (err error) {
	if in.TTL < time.Second || in.TTL > maxTTL {
		return fmt.Errorf("--ttl %v: want 1s to %v", in.TTL, maxTTL)
	}
	if in.Lifetime < 0 {
		return fmt.Errorf("--for %v: want more than 0", in.Lifetime)
	}
	if err := checkRoles(in.role); err != nil {
		return err
	}
	in.Role, in.Verbs = trust.Role(in.role), admin.ParseVerbs(in.verbs)
	if err := checkVerbs(in.Verbs, in.anyVerb); err != nil {
		return err
	}
	if in.Labels, err = agent.ParseLabels(in.labels); err != nil {
		return err
	}
	if err := checkOn(in.On); err != nil {
		return err
	}
	switch in.qr {
	case "png":
		in.files.Picture = in.Name + ".png"
	case "true", "false":
	default:
		return fmt.Errorf("--qr %q: want true, png or false", in.qr)
	}
	if err := in.files.Check(); err != nil {
		return err
	}
	if in.peer != "" {
		if in.Peer, err = peer.Decode(in.peer); err != nil {
			return fmt.Errorf("--peer %q: not a peer ID; \"swarm id\" prints one", in.peer)
		}
	}
	return nil
}

// inviteEvent is a line of JSON.
type inviteEvent struct {
	Event   string            `json:"event"`
	Ticket  string            `json:"ticket,omitzero"`
	ID      string            `json:"id"`
	Name    string            `json:"name"`
	Role    trust.Role        `json:"role"`
	Labels  map[string]string `json:"labels,omitzero"`
	Peer    peer.ID           `json:"peer,omitzero"`
	Expires *time.Time        `json:"expires,omitzero"`
	Addrs   []string          `json:"addrs,omitzero"`
	Reach   string            `json:"reach,omitzero"`
}

func (in *invitation) run(ctx context.Context) (err error) {
	if in.Role == trust.RoleIssuer {
		in.UseRoot = true
	}
	adm, err := in.Admin()
	if err != nil {
		return err
	}
	by, c, stays, err := in.redeemer(ctx, adm)
	if c != nil {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	if err != nil {
		return err
	}
	in.Redeemer = by
	t, inv, err := adm.Invite(in.Ticket)
	if err != nil {
		return err
	}
	if in.via != "" {
		if t.Addrs, err = admin.PutTicket(ctx, c.Node.Client, by.ID, inv, t.Secret); err != nil {
			return fmt.Errorf("%s does not take the ticket: %w", in.via, err)
		}
	}
	if err := in.printTicket(t, inv); err != nil {
		return err
	}
	in.warnSigner(adm, by.ID)
	if in.to != "" {
		if err := in.bring(ctx, c, t); err != nil {
			return err
		}
	}
	if in.via != "" || !stays && !inv.Confirm {
		return nil
	}
	return in.awaitJoin(ctx, adm, t.ID, stays && in.to == "")
}

// redeemer says who will redeem the ticket, and where. c is a controller of our own
// where one is needed, and stays tells that it is the redeemer.
func (in *invitation) redeemer(ctx context.Context, adm *admin.Admin) (r peer.AddrInfo, c *agent.Controller, stays bool, err error) {
	dir, err := in.StateDir(agent.RoleController)
	if err != nil {
		return r, nil, false, err
	}
	self := adm.Fleet.Self().Grant.Subject
	remote, err := in.Served(ctx)
	serving := err == nil
	if _, silent := errors.AsType[*control.Unresponsive](err); silent && in.via == "" {
		// Once it goes on there would be two, each listening for those who join.
		return r, nil, false, err
	}
	var addrs []string
	if serving {
		defer remote.Close()
		if addrs, err = remote.Addrs(ctx); err != nil {
			return r, nil, false, err
		}
	}
	switch {
	case in.via != "":
		m, err := adm.Find(in.via)
		if err != nil {
			return r, nil, false, err
		}
		c, err := in.Reach.Controller(in.Env)
		return peer.AddrInfo{ID: m.Peer}, c, false, err
	case serving && in.to == "":
		r, err = redeemAddrs(self, addrs)
		return r, nil, false, err
	}
	cfg, err := in.Reach.Config(dir, in.Log)
	if err != nil {
		return r, nil, false, err
	}
	cfg.Listen = in.listen
	kind := agent.NewRedeem
	if serving {
		kind = agent.NewOffer
	}
	c, err = agent.Started(kind(cfg))
	if err != nil {
		return r, nil, false, err
	}
	if !serving {
		if addrs, err = c.Addrs(ctx); err != nil {
			return r, c, true, err
		}
	}
	r, err = redeemAddrs(self, addrs)
	return r, c, true, err
}

// redeemAddrs takes the peer ID off addresses.
func redeemAddrs(self peer.ID, addrs []string) (peer.AddrInfo, error) {
	if len(addrs) == 0 {
		return peer.AddrInfo{ID: self}, nil
	}
	infos, err := host.ParsePeers(addrs...)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	return admin.BestAddrs(infos[0]), nil
}

func (in *invitation) printTicket(t *ticket.Ticket, inv *ticket.Invitation) error {
	text, err := t.Encode()
	if err != nil {
		return err
	}
	ev := inviteEvent{Event: "ticket", Ticket: text, ID: t.ID, Name: t.Name, Role: t.Role, Labels: t.Labels, Peer: inv.Peer, Expires: &t.Expires, Reach: string(admin.ReachOf(t.Addrs))}
	if in.files.Text != "" {
		ev.Ticket = "" // it is in the file, for who may read that
	}
	for _, addr := range t.Addrs {
		ev.Addrs = append(ev.Addrs, addr.String())
	}
	if err := in.files.Write(text); err != nil {
		return err
	}
	return in.Print(ev, func() error {
		until := t.Expires.Local().Format(time.TimeOnly)
		if in.files.Picture != "" {
			in.Stderr.Printf("The QR code is in %s.\n", in.files.Picture)
		}
		if file := in.files.Text; file != "" {
			in.Stderr.Printf("The ticket is in %s. On %s run, before %s:  swarm join FILE\n", file, t.Name, until)
			in.Stderr.Printf("%s\n", admin.ReachOf(t.Addrs).Words(t.Name))
			return nil
		}
		if _, err := in.Stdout.Println(text); err != nil {
			return err
		}
		if in.to != "" {
			return nil // it is brought there
		}
		if in.qr == "true" && output.IsTerminal(in.Stdout) {
			handout.Show(in.Stdout.Raw(), text)
		}
		in.Stderr.Printf("\nOn %s run, before %s:  swarm join -  (and paste the ticket)\n", t.Name, until)
		in.Stderr.Printf("%s\n", admin.ReachOf(t.Addrs).Words(t.Name))
		return nil
	})
}

// warnSigner says, when the one who will sign for the machine ends soon, that the machine ends with
// it.
func (in *invitation) warnSigner(adm *admin.Admin, signer peer.ID) {
	m, ok := adm.Fleet.Known(signer)
	if !ok || in.JSON || time.Until(m.Grant.ExpiresAt()) > 60*24*time.Hour {
		return
	}
	in.Stderr.Printf("What %s signs counts until %s, when its own grant ends, unless the root renews that: swarm "+
		"renew %s --as-root\n", m.Grant.Name, output.Day(m.Grant.ExpiresAt()), m.Grant.Name)
}

// bring takes the ticket to a machine that waits for it.
func (in *invitation) bring(ctx context.Context, c *agent.Controller, t *ticket.Ticket) error {
	infos, err := host.ParsePeers(in.to)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	text, err := t.Encode()
	if err != nil {
		return err
	}
	if err := admin.Offer(ctx, c.Node, infos[0], text); err != nil {
		return fmt.Errorf("the machine at %s does not take the ticket: %w; run \"swarm join --wait\" there", in.to, err)
	}
	in.Stderr.Println("The machine has the ticket. It joins when it is answered there.")
	return nil
}

// awaitJoin tells what becomes of the ticket, until it was used or has expired. With
// linger it stays a little longer, because only this process can tell a second machine.
func (in *invitation) awaitJoin(ctx context.Context, adm *admin.Admin, id string, linger bool) error {
	var (
		seen  ticket.State
		asked peer.ID
		until time.Time
	)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s, err := adm.Tickets.State(id)
		if err != nil {
			return err
		}
		ev := inviteEvent{ID: id, Name: s.Name, Role: s.Role}
		if s.Waiting != "" && s.Waiting != asked {
			asked = s.Waiting
			if err := in.confirmJoiner(adm, s); err != nil {
				return err
			}
		}
		if s.RefusedPeer != "" && s.RefusedPeer != seen.RefusedPeer {
			ev.Event, ev.Peer = "refused", s.RefusedPeer
			in.Print(ev, func() error {
				in.Stderr.Printf("%s brought the ticket of %s, too, and was refused.\n", s.RefusedPeer, s.Name)
				return nil
			})
		}
		over := time.Now().After(s.Expires)
		switch {
		case s.UsedBy != "" && seen.UsedBy == "":
			ev.Event, ev.Peer = "joined", s.UsedBy
			if err := in.Print(ev, func() error {
				_, err := in.Stderr.Printf("%s has joined the fleet (%s).\n", s.Name, s.UsedBy)
				return err
			}); err != nil {
				return err
			}
			until = time.Now()
		case over && s.UsedBy == "" && until.IsZero():
			ev.Event = "expired"
			in.Print(ev, func() error { return nil })
			until = time.Now()
		}
		seen = s
		if !until.IsZero() && (!linger || time.Since(until) > lingers) {
			if s.UsedBy == "" {
				return fmt.Errorf("the ticket of %s has expired, and nobody used it", s.Name)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			if seen.UsedBy != "" {
				return nil
			}
			return fmt.Errorf("nobody used the ticket of %s, and with this command gone nobody can: %w",
				s.Name, cmp.Or(ctx.Err(), context.Canceled))
		case <-tick.C:
		}
	}
}

// confirmJoiner asks whether the machine that brings the ticket is the right one.
func (in *invitation) confirmJoiner(adm *admin.Admin, s ticket.State) error {
	in.Print(inviteEvent{Event: "waiting", ID: s.ID, Name: s.Name, Role: s.Role, Peer: s.Waiting}, func() error { return nil })
	yes, err := in.Ask.Confirm(fmt.Sprintf("A machine with the peer ID %s wants to be the %s %s.\n\"swarm id\" "+
		"there prints the same, if it is the one. Let it in?", s.Waiting, s.Role, s.Name))
	if errors.Is(err, ask.ErrNoAnswer) { // the machine that waits is told at once
		return errors.Join(adm.Tickets.Answer(s.ID, s.Waiting, false),
			errors.New("not let in: a person has to look at the peer ID and answer"))
	}
	if err != nil {
		return err
	}
	return adm.Tickets.Answer(s.ID, s.Waiting, yes)
}
