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
	"github.com/seed-b490fa12/swarm/host/names"
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
	// Code is a word for programs, which stays; empty for what is as it should be.
	Code Code   `json:"code,omitzero"`
	Text string `json:"text"`
	// Next is what to do about it; empty where there is nothing to do.
	Next string `json:"next,omitzero"`
	// Detail is what a library says of it; empty where there is no more to say.
	Detail string `json:"detail,omitzero"`
}

// Code names what is wrong.
type Code string

// The codes.
const (
	CodeOffline  Code = "OFFLINE"  // the machine does not answer, and others do
	CodeNetwork  Code = "NETWORK"  // nobody answers: it is the network of this machine
	CodePortal   Code = "PORTAL"   // something between answers in the place of machines
	CodeMute     Code = "MUTE"     // connections are taken, and nothing is said
	CodeMTU      Code = "MTU"      // what is small gets through, and what is large does not
	CodeDNS      Code = "DNS"      // the name server does not answer
	CodeName     Code = "NAME"     // a name of an address does not exist
	CodeIPv6     Code = "IPV6"     // there is a route for IPv6, and nothing comes back
	CodeClock    Code = "CLOCK"    // the clocks differ
	CodeDenied   Code = "DENIED"   // this machine's own settings forbid it
	CodeOther    Code = "OTHER"    // another machine answers
	CodeTwins    Code = "TWINS"    // two machines have one identity
	CodeSlow     Code = "SLOW"     // the machine answers late
	CodeUnsteady Code = "UNSTEADY" // it has answered, and no longer does
	CodeNAT      Code = "NAT"      // connections go by a relay for the NAT's sake
	CodeUDP      Code = "UDP"      // UDP does not pass
	CodeOneRelay Code = "ONERELAY" // all hangs on the IP address of one relay
	CodeAlone    Code = "ALONE"    // no machine is connected
	CodeVersion  Code = "VERSION"  // the programs do not understand each other
	CodeRefused  Code = "REFUSED"  // the machine refuses the connection, and says why
	CodeNoRight  Code = "NORIGHT"  // the machine answers, and this controller may not ask it
	CodeStopped  Code = "STOPPED"  // the worker or relay of this machine does not run
	CodeNoMember Code = "NOMEMBER" // the machine does not take this one for a member
)

// Diagnosis is what came of an examination. Err is in the terms of a call, for the exit code; nil
// for a machine that is well.
type Diagnosis struct {
	Peer     peer.ID   `json:"peer,omitzero"` // of the machine; empty for this one
	Findings []Finding `json:"findings"`
	Err      error     `json:"error,omitzero"`
}

// Examine looks into how it stands with a machine, or with this one where there is no name. serves
// says that the controller is the long-lived one.
func Examine(ctx context.Context, c *agent.Controller, name string, timeout time.Duration, serves bool) (Diagnosis, error) {
	if name != "" {
		d, err := Machine(ctx, c.Node, c, name, timeout)
		if err == nil && serves {
			d.standing(ctx, c)
		}
		return d, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	self, err := c.Self(ctx)
	if err != nil {
		return Diagnosis{}, err
	}
	d := Here(self, serves)
	d.around(ctx, c.Node, c)
	return d, nil
}

func (d *Diagnosis) add(check string, l Level, text, next string) {
	d.addCode("", check, l, text, next)
}

func (d *Diagnosis) addCode(code Code, check string, l Level, text, next string) {
	d.Findings = append(d.Findings, Finding{Check: check, Level: l, Code: code, Text: text, Next: next})
}

// soonExpiring is when the end of a grant is worth a word.
const soonExpiring = 30 * 24 * time.Hour

// Node is what an examination needs of a node. *node.Node is one.
type Node interface {
	ID() peer.ID
	Book() *book.Book
	Try(ctx context.Context, p peer.ID) []dial.Tried
	Forbids(a multiaddr.Multiaddr, p peer.ID) bool
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

	connected bool // it was before the examination
}

// reportTime is kept of the time for an examination, to report what was found.
const reportTime = 500 * time.Millisecond

// Machine looks into how it stands with one machine, from here: whether it is known and a member,
// which of its addresses answer, and what it says when asked. It takes no longer than timeout. An
// error means that the name is not known.
func Machine(ctx context.Context, n Node, a Asker, name string, timeout time.Duration) (Diagnosis, error) {
	targets, err := a.Resolve(ctx, agent.Selection{Names: []string{name}})
	if err != nil {
		return Diagnosis{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	x := &examination{
		Diagnosis: Diagnosis{Peer: targets[0].Peer}, node: n, asker: a, fleet: a.Fleet(), target: targets[0],
		connected: a.PathInWords(targets[0].Peer) != "",
	}
	x.add("name", LevelOK, fmt.Sprintf("%s is %s", name, x.Peer), "")
	x.grant()
	seen := "never by this controller"
	if entry, _ := n.Book().Get(x.Peer); entry.LastSeen > 0 {
		seen = ago(time.Since(time.UnixMilli(entry.LastSeen))) + " ago"
	}
	x.add("last seen", LevelOK, seen, "")
	if fault := clock.Fault(time.Now()); fault != "" {
		x.addCode(CodeClock, "clock here", LevelFail, fault, "")
	}
	around := x.look(ctx)
	answered := x.addrs(around.tried)
	x.runs(ctx, around.tried)
	if answered || x.connected {
		x.notes(around, answered)
		x.answers(ctx, timeout)
	} else {
		x.offline(around)
	}
	return x.Diagnosis, nil
}

// ofConnected is how long the addresses of a machine that is connected have: it is not for them that
// it can be reached.
const ofConnected = time.Second

// look tries all addresses of the machine, and where it is not connected looks around, too.
func (x *examination) look(ctx context.Context) surroundings {
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(time.Minute)
	}
	end = end.Add(-min(reportTime, time.Until(end)/10))
	if x.connected {
		end = time.Now().Add(min(ofConnected, time.Until(end)/2))
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	if x.connected {
		return surroundings{tried: x.node.Try(ctx, x.Peer)}
	}
	return lookAround(ctx, x.node, x.asker, x.Peer)
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
		f := Finding{Check: "address", Level: LevelOK, Text: fmt.Sprintf("%s answers after %d ms", place, a.Took.Milliseconds())}
		if a.Err != nil {
			f.Text, f.Detail, f.Code = fmt.Sprintf("%s: %s", place, a.Err), dial.Detail(a.Err), codeOf(a.Err)
			if !answered && !x.connected {
				f.Level = LevelFail
			}
		}
		x.Findings = append(x.Findings, f)
	}
	if len(tried) == 0 && !x.connected {
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
	x.addCode(CodeTwins, "result",
		LevelFail, fmt.Sprintf("TWO MACHINES have the identity of %s: %s", x.target.Label(), strings.Join(twin.Addrs, ", ")),
		"on one of them: swarm leave, delete identity.pem, join again with a new ticket; until then commands with an effect are held")
	x.Err = err
}

// offline says what no answer from anywhere may mean.
func (x *examination) offline(around surroundings) {
	tried := around.tried
	next := fmt.Sprintf("see that %s is on and in the network, and that the worker runs there: swarm status",
		x.target.Label())
	text, code := "OFFLINE: none of its addresses answers", CodeOffline
	failed := func(kind error) bool {
		return slices.ContainsFunc(tried, func(a dial.Tried) bool { return errors.Is(a.Err, kind) })
	}
	allFailed := func(kind error) bool {
		return len(tried) > 0 && !slices.ContainsFunc(tried, func(a dial.Tried) bool { return !errors.Is(a.Err, kind) })
	}
	byRelay := slices.ContainsFunc(tried, func(a dial.Tried) bool { return route.RelayOf(a.Addr) != "" })
	switch {
	case allFailed(host.ErrDenied):
		text, code = "DENIED HERE: this machine's own settings forbid all of its addresses", CodeDenied
		next = "change --deny-net or --allow-net of this controller"
	case failed(host.ErrClocks):
		text, code = "THE CLOCKS DIFFER: the program there is an older one, with a certificate that is not valid by one of the clocks", CodeClock
		next = "set the clock that is wrong; or update swarm there, which then needs no certificate"
	case failed(host.ErrOtherPeer):
		text, code = "ANOTHER MACHINE answers at its address", CodeOther
		next = "if it was installed anew it has another identity: remove it (swarm peers remove) and let it in again"
	case allFailed(host.ErrNoRoute):
		text, next, code = "THIS MACHINE is cut off: it has no way to any of the addresses", "look after the network here", CodeNetwork
	case around.portal():
		text, next, code = portal, portalNext, CodePortal
	case allFailed(names.ErrServer):
		text, next, code = "THE NAME SERVER of this machine does not answer, and no other address is known", dnsNext, CodeDNS
	case around.nobody():
		text, next, code = around.nobodyText(), "look after the network here: cable, Wi-Fi, firewall, VPN", CodeNetwork
	case hears(around.heard, speaksNode) && slices.ContainsFunc(tried, isLate):
		text, code = "MTU: small packets get through to it, and the handshake, which is large, does not", CodeMTU
		next = "on the way, let ICMP \"fragmentation needed\" pass, or lower the MTU of this machine; on Linux: sysctl net.ipv4.tcp_mtu_probing=1"
	case hears(around.heard, mute):
		text, code = "MUTE: it takes connections and says nothing: the program there is stopped or stuck, or something between answers in its place", CodeMute
	case failed(host.ErrTurnedAway):
		next += "; a relay turns this machine away: see how it stands with that, and its clock: swarm doctor NAME"
	case x.fleet != nil && !byRelay:
		next += "; if it is behind a NAT, a relay helps: swarm relay"
	}
	x.addCode(code, "result", LevelFail, text, next)
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
		if p.RTT > slow {
			x.addCode(CodeSlow, "round trip", LevelWarn, fmt.Sprintf("SLOW: it answers after %d ms", p.RTT.Milliseconds()),
				"commands may need more than their usual time: --timeout")
		}
	}
	x.rights(ctx, info.Hello.Reason)
}

// refusal tells a machine that says no from one that says nothing.
func (x *examination) refusal(ctx context.Context, err error) {
	refused, said := errors.AsType[*streams.Error](err)
	switch {
	case !said || refused.Code == streams.CodeUnavailable || refused.Code == streams.CodeTimeout:
		x.Err = agent.Unreachable(ctx, x.target, err)
		if x.connected && ctx.Err() != nil {
			x.addCode(CodeSlow, "result", LevelFail, "SLOW: it is connected, and has not answered in the time there was",
				"give it more with --timeout; if it never answers, look at its network, which may be full, and at its log")
			return
		}
		x.addCode(CodeUnsteady, "result", LevelFail, "UNSTEADY: it has answered just now, and no longer does: "+words(x.Err),
			"try again; if this goes on, look at the network, and at the log of that machine")
	case refused.Code == streams.CodeUnsupported:
		x.Err = err
		x.addCode(CodeVersion, "result", LevelFail, "VERSION: "+words(err), "update swarm on the older of the two: swarm version")
	default:
		x.Err = err
		x.addCode(CodeRefused, "result", LevelFail, "REFUSED: "+words(err), "ask the owner of that machine, or look at its log")
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
	x.addCode(CodeVersion, "version", LevelWarn, text, "update swarm on the older of the two")
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
			x.addCode(CodeNoMember, "result", LevelFail, "NO MEMBER THERE: it does not take this machine for one: "+reason,
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
		x.addCode(CodeNoRight, "result", LevelFail, "NO RIGHT: "+words(err), next)
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
	return dial.Plain(err)
}

// standing adds how the long-lived controller stands with the machine, just before the result.
func (d *Diagnosis) standing(ctx context.Context, c *agent.Controller) {
	lines, err := c.Peers(ctx, 0)
	if err == nil {
		d.Served(lines)
	}
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

// self says who this machine is, and what its owner has to look at. noFleet is the next step of one
// without a fleet.
func (d *Diagnosis) self(s agent.Self, noFleet string) {
	if s.Twin == "" {
		d.add("identity", LevelOK, s.Peer.String(), "")
	} else {
		d.add("identity", LevelFail, s.Peer.String()+": "+s.Twin, "")
	}
	switch {
	case s.Fleet == "":
		d.add("fleet",
			LevelWarn, "none: machines take commands only from peers they name with --allow", noFleet)
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
		d.addCode(CodeClock, "clock", LevelFail, s.ClockFault, "")
	}
}

// Here puts what a controller knows of this machine in findings. serves is whether it is the
// long-lived one.
func Here(s agent.Self, serves bool) Diagnosis {
	var d Diagnosis
	d.self(s, "make one: swarm init")
	if !serves {
		d.add("controller", LevelWarn, "none serves here: each command connects anew, and connections behind two NATs go by way of a relay", "start it: swarm controller serve")
		return d
	}
	connected := fmt.Sprintf("serves here, and is connected with %d of %d machines", s.Connected, s.Known)
	if s.Known > 0 && s.Connected == 0 {
		d.addCode(CodeAlone, "controller", LevelFail, connected, "see what is wrong with one of them: swarm doctor NAME")
		d.Err = streams.Errorf(streams.CodeUnavailable, "no machine is connected")
	} else {
		d.add("controller", LevelOK, connected, "")
	}
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
		d.addCode(CodeNAT, "nat", LevelWarn, "symmetric: with machines behind another such NAT it is the relay that connects", "")
	default:
		d.add("nat", LevelOK, "unknown: two relays, or other machines outside, would tell", "")
	}
	switch {
	case s.UDP == nil:
		d.add("udp", LevelOK, "not seen yet", "")
	case *s.UDP:
		d.add("udp", LevelOK, "passes", "")
	default:
		d.addCode(CodeUDP, "udp", LevelWarn, "does not pass: connections use TCP, and holes cannot be punched",
			"let UDP port 4747 through where a firewall stops it")
	}
	if s.ClockOffsetMs != nil {
		off := time.Duration(*s.ClockOffsetMs) * time.Millisecond
		switch side := sideOf(off); {
		case off.Abs() > clockWorth:
			d.addCode(CodeClock, "clock", LevelWarn, fmt.Sprintf("the clocks differ by %s: those of most machines are %s",
				span(off), side), "set the clock of this machine")
		case s.ClockFault == "":
			d.add("clock", LevelOK, "as that of most machines", "")
		}
	}
	for _, l := range s.Clocks {
		off := time.Duration(l.AheadMs) * time.Millisecond
		d.addCode(CodeClock, "clock", LevelWarn, fmt.Sprintf("the clocks differ by %s: that of %s is %s",
			span(off), l.Name, sideOf(off)), "set the clock of "+l.Name+": swarm doctor "+l.Name)
	}
	return d
}
