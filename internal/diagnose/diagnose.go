package agent

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
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/ops"
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

// Diagnosis is what came of an examination. Err is in the terms of a call, for the exit code; nil for a machine that is
// well.
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

// Doctor looks into how it stands with one machine, from here: whether it is known and a member, which of its addresses
// answer, and what it says when asked.
func (c *Controller) Doctor(ctx context.Context, name string, timeout time.Duration) (Diagnosis, error) {
	targets, err := c.pickAsking(ctx, Selection{Names: []string{name}})
	if err != nil {
		return Diagnosis{}, err
	}
	t := targets[0]
	d := Diagnosis{Peer: t.Peer}
	member, _ := c.Node.Book().Get(t.Peer)
	d.add("name", LevelOK, fmt.Sprintf("%s is %s", name, t.Peer), "")
	c.examineGrant(&d, t)
	seen := "never by this controller"
	if member.LastSeen > 0 {
		seen = ago(time.Since(time.UnixMilli(member.LastSeen))) + " ago"
	}
	d.add("last seen", LevelOK, seen, "")
	if fault := ClockFault(time.Now()); fault != "" {
		d.add("clock here", LevelFail, fault, "")
	}

	dialCtx, cancel := context.WithTimeout(ctx, timeout)
	tried := c.Node.Try(dialCtx, t.Peer)
	cancel()
	answered := c.examineAddrs(&d, tried)
	c.examineRuns(ctx, t, tried)
	if !answered {
		c.examineOffline(&d, t, tried)
		return d, nil
	}
	c.examineAnswers(ctx, &d, t, timeout)
	return d, nil
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

// examineGrant says what the fleet thinks of the machine.
func (c *Controller) examineGrant(d *Diagnosis, t Target) {
	if c.fleet == nil {
		d.add("grant", LevelOK, "this controller has no fleet: the machine takes commands if it was started with --allow "+c.Node.ID().String(), "")
		return
	}
	m, ok := c.fleet.Known(t.Peer)
	switch {
	case c.fleet.Revoked(t.Peer):
		d.add("grant", LevelFail, "it was thrown out of the fleet", "let it in again with: swarm invite "+cmp.Or(t.Name, "NAME"))
	case !ok:
		d.add("grant", LevelFail, "it has shown no grant of the fleet "+c.fleet.Name(), "let it in: swarm invite NAME")
	case m.Err != nil:
		d.add("grant", LevelFail, m.Err.Error(), "renew it: swarm renew "+t.Name)
	case m.Grant.ExpiresAt().Sub(c.fleet.Now()) < soonExpiring:
		d.add("grant", LevelWarn, fmt.Sprintf("%s until %s", m.Grant.Role, m.Grant.ExpiresAt().UTC().Format(time.DateOnly)), "renew it: swarm renew "+t.Name)
	default:
		d.add("grant", LevelOK, fmt.Sprintf("%s until %s", m.Grant.Role, m.Grant.ExpiresAt().UTC().Format(time.DateOnly)), "")
	}
}

// examineAddrs tells of each address, and whether any has answered.
func (c *Controller) examineAddrs(d *Diagnosis, tried []host.Tried) (answered bool) {
	for _, a := range tried {
		answered = answered || a.Err == ""
	}
	for _, a := range tried {
		place := c.Node.PlaceInWords(a.Addr)
		if a.Name != nil {
			place = fmt.Sprintf("%s (%s)", a.Name, place)
		}
		switch {
		case a.Err == "":
			d.add("address", LevelOK, fmt.Sprintf("%s answers after %d ms", place, a.Took.Milliseconds()), "")
		case answered:
			d.add("address", LevelOK, fmt.Sprintf("%s: %s", place, a.Err), "")
		default:
			d.add("address", LevelFail, fmt.Sprintf("%s: %s", place, a.Err), "")
		}
	}
	if len(tried) == 0 {
		d.add("address", LevelFail, "none is known", "give one: swarm peers add MADDR, or --bootstrap with a machine that knows it")
	}
	return answered
}

// examineRuns asks at each address that has answered who is there, unless it is known that there are two.
func (c *Controller) examineRuns(ctx context.Context, t Target, tried []host.Tried) {
	var addrs []multiaddr.Multiaddr
	for _, a := range tried {
		if a.Err == "" && host.RelayOf(a.Addr) == "" {
			addrs = append(addrs, a.Addr)
		}
	}
	if _, known := c.Node.Twin(t.Peer); !known && len(addrs) > 1 {
		c.Node.Boots(ctx, t.Peer, addrs)
	}
}

// addTwin says that nobody knows which of two machines answers.
func (d *Diagnosis) addTwin(t Target, twin node.Twin) {
	err := node.TwinError(twin)
	d.add("result", LevelFail, fmt.Sprintf("TWO MACHINES have the identity of %s: %s", t.Label(), strings.Join(twin.Addrs, ", ")),
		"on one of them: swarm leave, delete identity.pem, join again with a new ticket; until then commands with an effect are held")
	d.Err = err
}

// examineOffline says what no answer from anywhere may mean.
func (c *Controller) examineOffline(d *Diagnosis, t Target, tried []host.Tried) {
	next := fmt.Sprintf("see that %s is on and in the network, and that the worker runs there: swarm status", t.Label())
	text := "OFFLINE: none of its addresses answers"
	failed := func(kind error) bool {
		return slices.ContainsFunc(tried, func(a host.Tried) bool { return errors.Is(a.Kind, kind) })
	}
	byRelay := slices.ContainsFunc(tried, func(a host.Tried) bool { return host.RelayOf(a.Addr) != "" })
	switch {
	case deniedHere(tried):
		text, next = "DENIED HERE: this machine's own settings forbid all of its addresses", "change --deny-net or --allow-net of this controller"
	case failed(host.ErrClocks):
		text, next = "THE CLOCKS DIFFER: the program there is an older one, with a certificate that is not valid by one of the clocks", "set the clock that is wrong; or update swarm there, which then needs no certificate"
	case failed(host.ErrOtherPeer):
		text, next = "ANOTHER MACHINE answers at its address", "if it was installed anew it has another identity: remove it (swarm peers remove) and let it in again"
	case c.cutOff(tried):
		text, next = "THIS MACHINE is cut off: it has no way to any of the addresses", "look after the network here"
	case failed(host.ErrTurnedAway):
		next += "; a relay turns this machine away: see how it stands with that, and its clock: swarm doctor NAME"
	case c.fleet != nil && !byRelay:
		next += "; if it is behind a NAT, a relay helps: swarm relay"
	}
	d.add("result", LevelFail, text, next)
	d.Err = streams.Errorf(streams.CodeUnavailable, "%s does not answer", t.Label())
}

// deniedHere tells whether it is for our own settings alone that a machine cannot be reached.
func deniedHere(tried []host.Tried) bool {
	return len(tried) > 0 && !slices.ContainsFunc(tried, func(a host.Tried) bool { return !a.Denied })
}

func (c *Controller) cutOff(tried []host.Tried) bool {
	return len(tried) > 0 && !slices.ContainsFunc(tried, func(a host.Tried) bool { return !strings.Contains(a.Err, "unreachable") })
}

// examineAnswers asks a machine that can be reached.
func (c *Controller) examineAnswers(ctx context.Context, d *Diagnosis, t Target, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	info, err := c.Node.Greeting(ctx, t.Peer)
	if err != nil {
		examineRefusal(ctx, d, t, err)
		return
	}
	c.examinePath(d, t)
	examineVersion(d, info.Hello.Version)
	p, err := c.Ping(ctx, t, timeout)
	switch {
	case err != nil:
		d.add("ping", LevelFail, words(err), "")
	default:
		examineClock(d, t.Label(), p.ClockOffset, time.Now())
	}
	c.examineRights(ctx, d, t, info.Hello.Reason)
}

// examineRefusal tells a machine that says no from one that says nothing.
func examineRefusal(ctx context.Context, d *Diagnosis, t Target, err error) {
	refused, said := errors.AsType[*streams.Error](err)
	switch {
	case !said || refused.Code == streams.CodeUnavailable || refused.Code == streams.CodeTimeout:
		d.Err = unreachable(ctx, t, err)
		d.add("result", LevelFail, "UNSTEADY: it has answered just now, and no longer does: "+words(d.Err), "try again; if this goes on, look at the network, and at the log of that machine")
	case refused.Code == streams.CodeUnsupported:
		d.Err = err
		d.add("result", LevelFail, "VERSION: "+words(err), "update swarm on the older of the two: swarm version")
	default:
		d.Err = err
		d.add("result", LevelFail, "REFUSED: "+words(err), "ask the owner of that machine, or look at its log")
	}
}

func (c *Controller) examinePath(d *Diagnosis, t Target) {
	conn := c.Node.BestConn(t.Peer)
	if conn == nil {
		return
	}
	path := string(host.PathOf(conn))
	if relay := c.relayName(conn.RemoteMultiaddr()); relay != "" {
		path = "by way of the relay " + relay
	}
	d.add("path", LevelOK, path, "")
}

// examineVersion compares the protocol versions, of which the minor parts may differ.
func examineVersion(d *Diagnosis, theirs string) {
	text := fmt.Sprintf("it speaks protocol %s, this machine %s", theirs, streams.ProtocolVersion)
	if semver.MajorMinor("v"+theirs) == semver.MajorMinor("v"+streams.ProtocolVersion) {
		d.add("version", LevelOK, "protocol "+theirs, "")
		return
	}
	d.add("version", LevelWarn, text, "update swarm on the older of the two")
}

// examineRights asks for something that needs a right. reason is why the machine does not take us for a member; empty where it
// does.
func (c *Controller) examineRights(ctx context.Context, d *Diagnosis, t Target, reason string) {
	if twin, two := c.Node.Twin(t.Peer); two {
		d.addTwin(t, twin)
		return
	}
	if m, ok := c.Node.Book().Get(t.Peer); ok && c.fleet != nil && m.Role != "" && m.Role != string(trust.RoleWorker) {
		if reason != "" {
			d.add("result", LevelFail, "NO MEMBER THERE: it does not take this machine for one: "+reason, "compare the clocks; see who is a member: swarm members")
			d.Err = streams.Errorf(streams.CodeForbidden, "%s", reason)
			return
		}
		d.add("result", LevelOK, fmt.Sprintf("%s is well. It is a %s, and takes no commands", t.Label(), m.Role), "")
		return
	}
	_, err := ops.GetStats.Do(ctx, c.Node.Client, t.Peer, ops.StatsRequest{})
	switch code := streams.CodeOf(err); {
	case err == nil:
		d.add("result", LevelOK, t.Label()+" is well, and answers to this controller", "")
	case code == streams.CodeForbidden, code == streams.CodeUnauthenticated:
		next := "there, allow this controller: swarm worker --allow " + c.Node.ID().String()
		if c.fleet != nil {
			next = "give the right to this controller: swarm grant NAME --verbs stats.read; or see who has which: swarm members"
		}
		d.add("result", LevelFail, "NO RIGHT: "+words(err), next)
		d.Err = err
	default:
		d.add("result", LevelFail, "it answers with an error: "+words(err), "look at the log there")
		d.Err = err
	}
}

// words are those of an error, without its code.
func words(err error) string {
	if e, ok := errors.AsType[*streams.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

// Served adds how the controller that serves on this machine stands with the machine, just before the result.
func (d *Diagnosis) Served(lines []PeerLine) {
	i := slices.IndexFunc(lines, func(l PeerLine) bool { return l.Peer == d.Peer })
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

// Self is what a controller finds about the machine it runs on.
type Self struct {
	Peer     peer.ID  `json:"peer"`
	Fleet    string   `json:"fleet,omitzero"`
	Warnings []string `json:"warnings"`
	// Sheet says what the printed backup sheet lacks; empty for nothing.
	Sheet string `json:"sheet,omitzero"`
	// Twin says that another machine runs with this identity.
	Twin      string   `json:"twin,omitzero"`
	Addrs     []string `json:"addrs"`
	Public    bool     `json:"public"`
	Relays    []string `json:"relays"`
	NAT       host.NAT `json:"nat"`
	UDP       *bool    `json:"udp,omitzero"`
	Connected int      `json:"connected"`
	Known     int      `json:"known"`
	// ClockOffsetMs is the median of what connected machines' clocks differ by; nil without any.
	ClockOffsetMs *int64 `json:"clockOffsetMs,omitzero"`
	// Clocks are connected machines whose clocks differ by more than a minute, at most 16.
	Clocks []ClockLine `json:"clocks,omitzero"`
	// ClockFault says why this machine's clock cannot be right; empty where it may be.
	ClockFault string `json:"clockFault,omitzero"`
}

// Self looks at this machine.
func (c *Controller) Self(ctx context.Context) Self {
	r := c.Node.Reach()
	s := Self{Peer: c.Node.ID(), Addrs: []string{}, Relays: []string{}, Warnings: []string{}, Public: r.Public, NAT: r.NAT, UDP: r.UDP}
	for _, a := range r.Addrs {
		s.Addrs = append(s.Addrs, a.String())
	}
	for _, p := range r.Relays {
		s.Relays = append(s.Relays, c.known(p).Label())
	}
	if c.fleet != nil {
		s.Fleet = c.fleet.Name()
		s.Warnings = append(s.Warnings, warnings(c.fleet)...)
		s.Sheet = SheetWarning(c.fleet, c.cfg.StateDir)
	}
	s.ClockFault, s.Twin = ClockFault(time.Now()), c.twinWords(c.Node.ID())
	var offsets []int64
	lines := c.Peers(ctx, 0)
	s.Clocks = otherClocks(lines)
	for _, l := range lines {
		s.Known++
		if l.RTTMs != nil {
			s.Connected++
			offsets = append(offsets, *l.ClockOffsetMs)
		}
	}
	if len(offsets) > 0 {
		slices.Sort(offsets)
		s.ClockOffsetMs = &offsets[len(offsets)/2]
	}
	return s
}

// Diagnose puts what is known of this machine in findings.
func (s Self) Diagnose(serves bool) Diagnosis {
	var d Diagnosis
	if s.Twin == "" {
		d.add("identity", LevelOK, s.Peer.String(), "")
	} else {
		d.add("identity", LevelFail, s.Peer.String()+": "+s.Twin, "")
	}
	switch {
	case s.Fleet == "":
		d.add("fleet", LevelWarn, "none: machines take commands only from peers they name with --allow", "make one: swarm init")
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
	d.add("controller", LevelOK, fmt.Sprintf("serves here, and is connected with %d of %d machines", s.Connected, s.Known), "")
	switch {
	case s.Public:
		d.add("reach", LevelOK, "a member has dialled this machine at an address of the Internet", "")
	case len(s.Relays) > 0:
		d.add("reach", LevelOK, "others reach this machine by way of "+strings.Join(s.Relays, " and "), "")
	default:
		d.add("reach", LevelWarn, "machines of this network only, as far as is known", "for machines elsewhere run a relay: swarm relay; or forward a port and name it: --external")
	}
	switch s.NAT {
	case host.NATCone, host.NATNone:
		d.add("nat", LevelOK, string(s.NAT)+": direct connections can be made", "")
	case host.NATSymmetric:
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
		d.add("udp", LevelWarn, "does not pass: connections use TCP, and holes cannot be punched", "let UDP port 4747 through where a firewall stops it")
	}
	if s.ClockOffsetMs != nil {
		off := time.Duration(*s.ClockOffsetMs) * time.Millisecond
		switch side := sideOf(off); {
		case off.Abs() > clockWorth:
			d.add("clock", LevelWarn, fmt.Sprintf("the clocks differ by %s: those of most machines are %s", span(off), side), "set the clock of this machine")
		case s.ClockFault == "":
			d.add("clock", LevelOK, "as that of most machines", "")
		}
	}
	for _, l := range s.Clocks {
		off := time.Duration(l.AheadMs) * time.Millisecond
		d.add("clock", LevelWarn, fmt.Sprintf("the clocks differ by %s: that of %s is %s", span(off), l.Name, sideOf(off)), "set the clock of "+l.Name+": swarm doctor "+l.Name)
	}
	return d
}
