package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/internal/admin"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/ask"
	"github.com/seed-b490fa12/swarm/internal/handout"
	"github.com/seed-b490fa12/swarm/internal/hints"
	"github.com/seed-b490fa12/swarm/internal/netflags"
	"github.com/seed-b490fa12/swarm/internal/span"
)

// joining is what the flags of join say.
type joining struct {
	*env
	enable  []string
	listen  []string
	wait    bool
	role    string
	net     agent.NetConfig
	yes     bool
	fleet   string
	timeout time.Duration
	service bool
	next    bool // false where more is done behind this command
}

func newJoinCommand(e *env) *cobra.Command {
	j := joining{env: e}
	cmd := &cobra.Command{
		Use:        "join TICKET|FILE|-",
		SuggestFor: []string{"login", "enroll"},
		Short:      "Make this machine a member of a fleet, with a ticket",
		Long: `Make this machine a member of a fleet, with the ticket that "swarm invite" printed, or a file with it.
With - the ticket is read from the standard input, where no other user of this machine can see it.

The command shows the fleet and what its owner may do here, and asks; with --yes it does not ask.
Without an answer it does not join. For a worker it writes the policy file, which alone decides what
may run here: nothing else runs, whoever asks. Afterwards "swarm worker" needs no flag.

With --service it also installs the service of the machine, a worker or a relay as the ticket says, and
starts it. If the machine does not join, nothing of that is left.

With --wait the inviter calls this machine: give the address that is printed to
"swarm invite NAME --to".`,
		Example: `  swarm join -
  swarm join ticket.txt --enable miner=xmrig,deploy --yes
  swarm join --wait
  sudo swarm join - --service --enable miner=xmrig,deploy`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !j.wait {
				return errors.New("give the ticket, or - to read it from the standard input; see: swarm join --help")
			}
			if j.service {
				return j.asService(cmd, args)
			}
			return j.run(cmd.Context(), strings.Join(args, ""))
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&j.enable, "enable", nil, "`WHAT` may run here: miner=NAME (refpow, xmrig), for which pool=HOST[:PORT] or wallet=NAME only; "+
		"deploy or deploy=NAME; run (any command); workload (any command, to stay); power (reboot, shutdown); forward=HOST:PORT (connections there); cp=DIR (copies from and to it); may be repeated")
	f.StringArrayVar(&j.listen, "listen", nil,
		"`MADDR` the worker will listen on; may be repeated (default: TCP and QUIC on port 4747)")
	j.net.Hint = hints.For
	netflags.Net(f, &j.net)
	f.BoolVar(&j.wait, "wait", false, "wait for the inviter to call")
	f.StringVar(&j.role, "role", string(trust.RoleWorker),
		"the role of the machine if no ticket says so yet (--wait): worker or relay")
	f.BoolVar(&j.yes, "yes", false, "do not ask")
	f.StringVar(&j.fleet, "fleet", "", "join the fleet with this `ID` and no other")
	span.Var(f, &j.timeout, "timeout", defaultTTL, "how long to wait for the inviter")
	f.BoolVar(&j.service, "service", false, "also have the machine run it from its start on (see: swarm service)")
	f.BoolVar(&j.next, nextFlag, true, "say what comes next")
	f.MarkHidden(nextFlag)
	return cmd
}

func (j *joining) run(ctx context.Context, word string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	j.env.WarnClock()
	if word == "" {
		return j.offered(ctx)
	}
	text, err := j.ticketText(word)
	if err != nil {
		return err
	}
	t, err := ticket.Parse(text)
	if err != nil {
		return err
	}
	if j.wait {
		return j.called(ctx, t)
	}
	if err := j.consent(t); err != nil {
		return err
	}
	joiner, err := j.joiner(t.Role)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, joiner.Close()) }()
	return j.with(ctx, joiner, t)
}

// ticketText is the ticket that a word of the command line means: itself, a file with it, or - for the
// standard input.
func (j *joining) ticketText(word string) (string, error) {
	if word != "-" {
		return handout.Read(word)
	}
	if handed := handedTicket(); handed != "" {
		return handed, nil
	}
	if j.Ask.Present() {
		j.Stderr.Printf("Ticket: ")
	}
	text, err := j.readTicket()
	if err != nil {
		return "", fmt.Errorf("read the ticket: %w", err)
	}
	return text, nil
}

// readTicket reads lines until a ticket stands in them: a pasted one may be wrapped, or come with
// what stood around it. At a terminal an empty line ends a ticket that is not whole.
func (j *joining) readTicket() (string, error) {
	var text strings.Builder
	for {
		line, err := j.Ask.Line()
		text.WriteString(line + "\n")
		_, wrong := ticket.Parse(text.String())
		begun, blank := errors.Is(wrong, ticket.ErrAltered), strings.TrimSpace(line) == ""
		switch {
		case wrong == nil || err != nil && strings.TrimSpace(text.String()) != "":
			return text.String(), nil // what is wrong with it is found again
		case errors.Is(err, io.EOF):
			return "", errors.New("nothing came by the standard input; the ticket is what \"swarm invite\" has printed")
		case err != nil:
			return "", err
		case j.Ask.Present() && blank && begun:
			return text.String(), nil
		case j.Ask.Present() && !blank && !begun:
			j.Stderr.Printf("No ticket yet: it begins with swarm1-. ")
		}
	}
}

func (j *joining) joiner(role trust.Role) (*admin.Joiner, error) {
	dir, err := j.StateDir(admin.StateRole(role))
	if err != nil {
		return nil, err
	}
	listens := admin.StateRole(role) != agent.RoleController
	joiner, err := admin.NewJoiner(admin.JoinConfig{StateDir: dir, Listen: j.listen, Wait: j.wait, Net: j.net, Logger: j.Log}, listens)
	if err == nil {
		err = joiner.Start()
	}
	return joiner, err
}

// consent shows what the ticket is for, and asks.
func (j *joining) consent(t *ticket.Ticket) error {
	if j.fleet != "" && trust.FleetID(j.fleet) != t.Fleet {
		return fmt.Errorf("the ticket is for another fleet, %s", t.Fleet)
	}
	if !time.Now().Before(t.Expires) {
		return admin.ExpiredTicket(t)
	}
	worker := admin.StateRole(t.Role) == agent.RoleWorker
	j.Stderr.Printf("This machine is to be the %s %s of the fleet %s.\n", t.Role, t.Name, t.FleetName)
	j.Stderr.Printf("  fleet        %s\n", t.Fleet)
	j.Stderr.Printf("  fingerprint  %s\n", t.Fleet.Fingerprint())
	if worker {
		j.Stderr.Println("  its owner may read this machine's state and the logs of what runs through swarm,")
		j.Stderr.Printf("  and start and stop what is enabled here: %s\n", orNothing(j.enable))
	}
	if j.yes {
		return nil
	}
	if worker && len(j.enable) == 0 {
		answer, err := j.Ask.Ask("What may run here? (miner=refpow, miner=xmrig, deploy; several joined by commas; empty for nothing) ", "")
		if err != nil {
			return err
		}
		if answer != "" {
			j.enable = strings.Split(answer, ",")
		}
	}
	yes, err := j.Ask.Confirm("Join?")
	switch {
	case err != nil:
		return fmt.Errorf("not joined, and the ticket is still good: %w", err)
	case !yes:
		return errors.New("not joined; the ticket is still good")
	}
	return nil
}

func orNothing(words []string) string {
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

// joinedLine is a line of JSON.
type joinedLine struct {
	Event     string            `json:"event"`
	Fleet     trust.FleetID     `json:"fleet"`
	FleetName string            `json:"fleetName"`
	Peer      peer.ID           `json:"peer"`
	Name      string            `json:"name"`
	Role      trust.Role        `json:"role"`
	Labels    map[string]string `json:"labels,omitzero"`
	Enabled   []string          `json:"enabled,omitzero"`
}

func (j *joining) with(ctx context.Context, joiner *admin.Joiner, t *ticket.Ticket) error {
	role := admin.StateRole(t.Role)
	dir, err := j.StateDir(role)
	if err != nil {
		return err
	}
	if role == agent.RoleWorker {
		// First what the owner allows, then the right of others to ask for it.
		if err := agent.WritePolicy(dir, j.enable); err != nil {
			return err
		}
	}
	f, err := joiner.Join(ctx, t, func() {
		j.Print(joinedLine{Event: "waiting", Fleet: t.Fleet, FleetName: t.FleetName, Peer: joiner.ID(), Name: t.Name, Role: t.Role}, func() error {
			_, err := j.Stderr.Printf("The inviter has to confirm this machine. Its peer ID is %s.\n", joiner.ID())
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("not joined: %w", err)
	}
	g := f.Self().Grant
	line := joinedLine{"joined", f.ID(), f.Name(), joiner.ID(), g.Name, g.Role, g.Labels, j.enable}
	return j.Print(line, func() error {
		if _, err := j.Stdout.Printf("%s has joined the fleet %s.\n", g.Name, f.Name()); err != nil || !j.next {
			return err
		}
		next := map[string]string{agent.RoleWorker: "swarm worker", agent.RoleRelay: "swarm relay"}[role]
		if next == "" {
			next = "swarm stats --all"
		}
		_, err := j.Stdout.Printf("Next: %s\n", next)
		return err
	})
}

// called waits, with a ticket, for its redeemer to call.
func (j *joining) called(ctx context.Context, t *ticket.Ticket) (err error) {
	if err := j.consent(t); err != nil {
		return err
	}
	joiner, err := j.joiner(t.Role)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, joiner.Close()) }()
	if err := j.printWaiting(joiner); err != nil {
		return err
	}
	return j.with(ctx, joiner, t)
}

// offered waits for an inviter that brings the ticket. Anybody might, so the
// fleet is confirmed by a person, or named beforehand.
func (j *joining) offered(ctx context.Context) (err error) {
	if j.yes && j.fleet == "" {
		return errors.New("--yes would let anybody's fleet take this machine: say which one with --fleet, or leave out --yes")
	}
	role := trust.Role(j.role)
	if role != trust.RoleWorker && role != trust.RoleRelay {
		return fmt.Errorf("--role %q: want worker or relay; another is brought a ticket by hand: swarm join TICKET --wait",
			j.role)
	}
	joiner, err := j.joiner(role)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, joiner.Close()) }()
	if err := j.printWaiting(joiner); err != nil {
		return err
	}
	text, err := joiner.Offer(ctx)
	if err != nil {
		return fmt.Errorf("nobody called: %w", err)
	}
	t, err := ticket.Parse(text)
	if err != nil {
		return err
	}
	if t.Role != role {
		return fmt.Errorf("the ticket that was brought is for the role %s, and this machine waits to be a %s: swarm "+
			"join --wait --role %[1]s", t.Role, role)
	}
	if !j.Ask.Present() && j.fleet == "" {
		return fmt.Errorf("a ticket for the fleet %s was brought, and %w: say beforehand which fleet it is to be, with "+
			"--fleet", t.Fleet, ask.ErrNoTerminal)
	}
	if err := j.consent(t); err != nil {
		return err
	}
	return j.with(ctx, joiner, t)
}

func (j *joining) printWaiting(joiner *admin.Joiner) error {
	addrs, err := joiner.Addrs()
	if err != nil {
		return err
	}
	waiting := struct {
		Event string   `json:"event"`
		Peer  peer.ID  `json:"peer"`
		Addrs []string `json:"addrs"`
	}{"waiting", joiner.ID(), addrs}
	return j.Print(waiting, func() error {
		j.Stdout.Println("Waiting for the inviter. There, run: swarm invite NAME --to MADDR, with one of")
		for _, addr := range addrs {
			j.Stdout.Println("  " + addr)
		}
		return nil
	})
}
