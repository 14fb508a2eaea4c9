// Package diagnose finds out why a machine does not answer, or how it stands with this one. Each
// finding comes with the next step. It decides by the values of errors, never by their words.
package diagnose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"golang.org/x/mod/semver"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/host/reach"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/clock"
	"github.com/seed-b490fa12/swarm/streams"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn"
	LevelFail Level = "fail"
)

// Finding is one thing that the doctor looked at.
type Finding struct {
	Check string `json:"check"` // a word
	Level Level  `json:"level"`
	Text  string `json:"text"`
	// Next is what to do about it; empty where there is nothing to do.
	Next string `json:"next,omitzero"`
}

// Diagnosis is what came of an examination. Err is in the terms of a call, for the exit code; nil
// for a machine that is well.
type Diagnosis struct {
	Peer     peer.ID // of the machine; empty for this one
	Findings []Finding
	Err      error
}

func (d *Diagnosis) add(check string, l Level, text, next string) {
	d.Findings = append(d.Findings, Finding{check, l, text, next})
}

// soonExpiring is when the end of a grant is worth a word.
const soonExpiring = 30 * 24 * time.Hour

// Node is what an examination needs of a node. *node.Node is one.
type Node interface {
	ID() peer.ID
	Book() *book.Book
	Try(ctx context.Context, p peer.ID) []dial.Tried
	PlaceInWords(a multiaddr.Multiaddr) string
	Greeting(ctx context.Context, p peer.ID) (greet.PeerInfo, error)
	Twin(p peer.ID) (twins.Twin, bool)
	Boots(ctx context.Context, p peer.ID, addrs []multiaddr.Multiaddr)
}

// Asker is what an examination needs of a controller. *agent.Controller is one.
type Asker interface {
	// Resolve returns the machines that a selection means.
	Resolve(ctx context.Context, s agent.Selection) ([]agent.Target, error)
	Ping(ctx context.Context, t agent.Target, timeout time.Duration) (agent.PingResult, error)
	// AskStats asks for something that needs a right.
	AskStats(ctx context.Context, p peer.ID) error
	// PathInWords is how a machine is connected; empty when it is not.
	PathInWords(p peer.ID) string
	// Fleet is the controller's fleet, nil in open mode.
	Fleet() *trust.Fleet
}

// examination is what is found about one machine.
type examination struct {
	Diagnosis
	node   Node
	asker  Asker
	fleet  *trust.Fleet // nil in open mode
	target agent.Target
}

// Machine looks into how it stands with one machine, from here: whether it is known and a member,
// which of its addresses answer, and what it says when asked. timeout is how long an address has to
// answer. An error means that the name is not known.
func Machine(ctx context.Context, n Node, a Asker, name string, timeout time.Duration) (Diagnosis, error) {
	targets, err := a.Resolve(ctx, agent.Selection{Names: []string{name}})
	if err != nil {
		return Diagnosis{}, err
	}
	x := &examination{Diagnosis: Diagnosis{Peer: targets[0].Peer}, node: n, asker: a, fleet: a.Fleet(), target: targets[0]}
	x.add("name", LevelOK, fmt.Sprintf("%s is %s", name, x.Peer), "")
	x.grant()
	seen := "never by this controller"
	if entry, _ := n.Book().Get(x.Peer); entry.LastSeen > 0 {
		seen = ago(time.Since(time.UnixMilli(entry.LastSeen))) + " ago"
	}
	x.add("last seen", LevelOK, seen, "")
	if fault := clock.Fault(time.Now()); fault != "" {
		x.add("clock here", LevelFail, fault, "")
	}

	dialCtx, cancel := context.WithTimeout(ctx, timeout)
	tried := n.Try(dialCtx, x.Peer)
	cancel()
	answered := x.addrs(tried)
	x.runs(ctx, tried)
	if answered {
		x.answers(ctx, timeout)
	} else {
		x.offline(tried)
	}
	return x.Diagnosis, nil
}

func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// grant says what the fleet thinks of the machine.
func (x *examination) grant() {
	if x.fleet == nil {
		x.add("grant", LevelOK,
			"this controller has no fleet: the machine takes commands if it was started with --allow "+x.node.ID().String(), "")
		return
	}
	m, ok := x.fleet.Known(x.Peer)
	switch {
	case x.fleet.Revoked(x.Peer):
		x.add("grant",
			LevelFail, "it was thrown out of the fleet", "let it in again with: swarm invite "+cmp.Or(x.target.Name, "NAME"))
	case !ok:
		x.add("grant", LevelFail, "it has shown no grant of the fleet "+x.fleet.Name(), "let it in: swarm invite NAME")
	case m.Err != nil:
		x.add("grant", LevelFail, m.Err.Error(), "renew it: swarm renew "+x.target.Name)
	case m.Grant.ExpiresAt().Sub(x.fleet.Now()) < soonExpiring:
		x.add("grant", LevelWarn, fmt.Sprintf("%s until %s",
			m.Grant.Role, m.Grant.ExpiresAt().UTC().Format(time.DateOnly)), "renew it: swarm renew "+x.target.Name)
	default:
		x.add("grant", LevelOK, fmt.Sprintf("%s until %s", m.Grant.Role, m.Grant.ExpiresAt().UTC().Format(time.DateOnly)), "")
	}
}

// addrs adds a finding for each address, and reports whether any has answered.
func (x *examination) addrs(tried []dial.Tried) (answered bool) {
	for _, a := range tried {
		answered = answered || a.Err == nil
	}
	for _, a := range tried {
		place := x.node.PlaceInWords(a.Addr)
		if a.Name != nil {
			place = fmt.Sprintf("%s (%s)", a.Name, place)
		}
		switch {
		case a.Err == nil:
			x.add("address", LevelOK, fmt.Sprintf("%s answers after %d ms", place, a.Took.Milliseconds()), "")
		case answered:
			x.add("address", LevelOK, fmt.Sprintf("%s: %s", place, a.Err), "")
		default:
			x.add("address", LevelFail, fmt.Sprintf("%s: %s", place, a.Err), "")
		}
	}
	if len(tried) == 0 {
		x.add("address",
			LevelFail, "none is known", "give one: swarm peers add MADDR, or --bootstrap with a machine that knows it")
	}
	return answered
}

// runs asks at each address that has answered who is there, unless it is known that there are two.
func (x *examination) runs(ctx context.Context, tried []dial.Tried) {
	var addrs []multiaddr.Multiaddr
	for _, a := range tried {
		if a.Err == nil && route.RelayOf(a.Addr) == "" {
			addrs = append(addrs, a.Addr)
		}
	}
	if _, known := x.node.Twin(x.Peer); !known && len(addrs) > 1 {
		x.node.Boots(ctx, x.Peer, addrs)
	}
}

// addTwin says that nobody knows which of two machines answers.
func (x *examination) addTwin(twin twins.Twin) {
	err := twins.Error(twin)
	x.add("result",
		LevelFail, fmt.Sprintf("TWO MACHINES have the identity of %s: %s", x.target.Label(), strings.Join(twin.Addrs, ", ")),
		"on one of them: swarm leave, delete identity.pem, join again with a new ticket; until then commands with an effect are held")
	x.Err = err
}

// offline says what no answer from anywhere may mean.
func (x *examination) offline(tried []dial.Tried) {
	next := fmt.Sprintf("see that %s is on and in the network, and that the worker runs there: swarm status",
		x.target.Label())
	text := "OFFLINE: none of its addresses answers"
	failed := func(kind error) bool {
		return slices.ContainsFunc(tried, func(a dial.Tried) bool { return errors.Is(a.Err, kind) })
	}
	allFailed := func(kind error) bool {
		return len(tried) > 0 && !slices.ContainsFunc(tried, func(a dial.Tried) bool { return !errors.Is(a.Err, kind) })
	}
	byRelay := slices.ContainsFunc(tried, func(a dial.Tried) bool { return route.RelayOf(a.Addr) != "" })
	switch {
	case allFailed(host.ErrDenied):
		text = "DENIED HERE: this machine's own settings forbid all of its addresses"
		next = "change --deny-net or --allow-net of this controller"
	case failed(host.ErrClocks):
		text = "THE CLOCKS DIFFER: the program there is an older one, with a certificate that is not valid by one of the clocks"
		next = "set the clock that is wrong; or update swarm there, which then needs no certificate"
	case failed(host.ErrOtherPeer):
		text = "ANOTHER MACHINE answers at its address"
		next = "if it was installed anew it has another identity: remove it (swarm peers remove) and let it in again"
	case allFailed(host.ErrNoRoute):
		text, next = "THIS MACHINE is cut off: it has no way to any of the addresses", "look after the network here"
	case failed(host.ErrTurnedAway):
		next += "; a relay turns this machine away: see how it stands with that, and its clock: swarm doctor NAME"
	case x.fleet != nil && !byRelay:
		next += "; if it is behind a NAT, a relay helps: swarm relay"
	}
	x.add("result", LevelFail, text, next)
	x.Err = streams.Errorf(streams.CodeUnavailable, "%s does not answer", x.target.Label())
}

// answers asks a machine that can be reached.
func (x *examination) answers(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	info, err := x.node.Greeting(ctx, x.Peer)
	if err != nil {
		x.refusal(ctx, err)
		return
	}
	x.path()
	x.version(info.Hello.Version)
	p, err := x.asker.Ping(ctx, x.target, timeout)
	switch {
	case err != nil:
		x.add("ping", LevelFail, words(err), "")
	default:
		x.addClock(x.target.Label(), p.ClockOffset, time.Now())
	}
	x.rights(ctx, info.Hello.Reason)
}

// refusal tells a machine that says no from one that says nothing.
func (x *examination) refusal(ctx context.Context, err error) {
	refused, said := errors.AsType[*streams.Error](err)
	switch {
	case !said || refused.Code == streams.CodeUnavailable || refused.Code == streams.CodeTimeout:
		x.Err = agent.Unreachable(ctx, x.target, err)
		x.add("result", LevelFail, "UNSTEADY: it has answered just now, and no longer does: "+words(x.Err),
			"try again; if this goes on, look at the network, and at the log of that machine")
	case refused.Code == streams.CodeUnsupported:
		x.Err = err
		x.add("result", LevelFail, "VERSION: "+words(err), "update swarm on the older of the two: swarm version")
	default:
		x.Err = err
		x.add("result", LevelFail, "REFUSED: "+words(err), "ask the owner of that machine, or look at its log")
	}
}

func (x *examination) path() {
	if path := x.asker.PathInWords(x.Peer); path != "" {
		x.add("path", LevelOK, path, "")
	}
}

// version compares the protocol versions, of which the minor parts may differ.
func (x *examination) version(theirs string) {
	text := fmt.Sprintf("it speaks protocol %s, this machine %s", theirs, greet.ProtocolVersion)
	if semver.MajorMinor("v"+theirs) == semver.MajorMinor("v"+greet.ProtocolVersion) {
		x.add("version", LevelOK, "protocol "+theirs, "")
		return
	}
	x.add("version", LevelWarn, text, "update swarm on the older of the two")
}

// rights asks for something that needs a right. reason is why the machine does not take us for a
// member; empty where it does.
func (x *examination) rights(ctx context.Context, reason string) {
	if twin, two := x.node.Twin(x.Peer); two {
		x.addTwin(twin)
		return
	}
	if m, ok := x.node.Book().Get(x.Peer); ok && x.fleet != nil && m.Role != "" && m.Role != string(trust.RoleWorker) {
		if reason != "" {
			x.add("result", LevelFail, "NO MEMBER THERE: it does not take this machine for one: "+reason,
				"compare the clocks; see who is a member: swarm members")
			x.Err = streams.Errorf(streams.CodeForbidden, "%s", reason)
			return
		}
		x.add("result", LevelOK, fmt.Sprintf("%s is well. It is a %s, and takes no commands", x.target.Label(), m.Role), "")
		return
	}
	err := x.asker.AskStats(ctx, x.Peer)
	switch code := streams.CodeOf(err); {
	case err == nil:
		x.add("result", LevelOK, x.target.Label()+" is well, and answers to this controller", "")
	case code == streams.CodeForbidden, code == streams.CodeUnauthenticated:
		next := "there, allow this controller: swarm worker --allow " + x.node.ID().String()
		if x.fleet != nil {
			next = "give the right to this controller: swarm grant NAME --verbs stats.read; or see who has which: swarm members"
		}
		x.add("result", LevelFail, "NO RIGHT: "+words(err), next)
		x.Err = err
	default:
		x.add("result", LevelFail, "it answers with an error: "+words(err), "look at the log there")
		x.Err = err
	}
}

// words are those of an error, without its code.
func words(err error) string {
	if e, ok := errors.AsType[*streams.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

// Served adds how the controller that serves on this machine stands with the machine, just before
// the result.
func (d *Diagnosis) Served(lines []agent.PeerLine) {
	i := slices.IndexFunc(lines, func(l agent.PeerLine) bool { return l.Peer == d.Peer })
	if i < 0 || len(d.Findings) == 0 {
		return
	}
	l := lines[i]
	text := "the controller that serves here: " + string(l.State)
	switch {
	case l.Relay != "":
		text += " by way of " + l.Relay
	case l.Path != "":
		text += " (" + string(l.Path) + ")"
	}
	if l.Since > 0 {
		text += " for " + ago(time.Since(time.UnixMilli(l.Since)))
	}
	d.Findings = slices.Insert(d.Findings, len(d.Findings)-1, Finding{Check: "serves", Level: LevelOK, Text: text})
}

// Here puts what a controller knows of this machine in findings. serves is whether it is the
// long-lived one.
func Here(s agent.Self, serves bool) Diagnosis {
	var d Diagnosis
	if s.Twin == "" {
		d.add("identity", LevelOK, s.Peer.String(), "")
	} else {
		d.add("identity", LevelFail, s.Peer.String()+": "+s.Twin, "")
	}
	switch {
	case s.Fleet == "":
		d.add("fleet",
			LevelWarn, "none: machines take commands only from peers they name with --allow", "make one: swarm init")
	default:
		d.add("fleet", LevelOK, s.Fleet, "")
	}
	if s.Sheet != "" {
		d.add("sheet", LevelWarn, s.Sheet, "")
	}
	for _, w := range s.Warnings {
		d.add("grant", LevelWarn, w, "")
	}
	if s.ClockFault != "" {
		d.add("clock", LevelFail, s.ClockFault, "")
	}
	if !serves {
		d.add("controller", LevelWarn, "none serves here: each command connects anew, and connections behind two NATs go by way of a relay", "start it: swarm controller serve")
		return d
	}
	d.add("controller",
		LevelOK, fmt.Sprintf("serves here, and is connected with %d of %d machines", s.Connected, s.Known), "")
	switch {
	case s.Public:
		d.add("reach", LevelOK, "a member has dialled this machine at an address of the Internet", "")
	case len(s.Relays) > 0:
		d.add("reach", LevelOK, "others reach this machine by way of "+strings.Join(s.Relays, " and "), "")
	default:
		d.add("reach", LevelWarn, "machines of this network only, as far as is known",
			"for machines elsewhere run a relay: swarm relay; or forward a port and name it: --external")
	}
	switch s.NAT {
	case reach.Cone, reach.None:
		d.add("nat", LevelOK, string(s.NAT)+": direct connections can be made", "")
	case reach.Symmetric:
		d.add("nat", LevelWarn, "symmetric: with machines behind another such NAT it is the relay that connects", "")
	default:
		d.add("nat", LevelOK, "unknown: two relays, or other machines outside, would tell", "")
	}
	switch {
	case s.UDP == nil:
		d.add("udp", LevelOK, "not seen yet", "")
	case *s.UDP:
		d.add("udp", LevelOK, "passes", "")
	default:
		d.add("udp", LevelWarn, "does not pass: connections use TCP, and holes cannot be punched",
			"let UDP port 4747 through where a firewall stops it")
	}
	if s.ClockOffsetMs != nil {
		off := time.Duration(*s.ClockOffsetMs) * time.Millisecond
		switch side := sideOf(off); {
		case off.Abs() > clockWorth:
			d.add("clock", LevelWarn, fmt.Sprintf("the clocks differ by %s: those of most machines are %s",
				span(off), side), "set the clock of this machine")
		case s.ClockFault == "":
			d.add("clock", LevelOK, "as that of most machines", "")
		}
	}
	for _, l := range s.Clocks {
		off := time.Duration(l.AheadMs) * time.Millisecond
		d.add("clock", LevelWarn, fmt.Sprintf("the clocks differ by %s: that of %s is %s",
			span(off), l.Name, sideOf(off)), "set the clock of "+l.Name+": swarm doctor "+l.Name)
	}
	return d
}
