package agent

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/keep"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/internal/brief"
	"github.com/seed-b490fa12/swarm/internal/clock"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
)

// PeerLine is what a controller knows of one machine, and how it stands with it now.
type PeerLine struct {
	book.Entry
	// State is "" where nobody looked, else one of known, dialling, connected, relayed, offline and
	// blocked.
	State keep.State `json:"state,omitzero"`
	// Path is LAN, direct or relay, Addr the address that was dialled, and Relay who passes it on, while
	// connected. Addr is empty where the machine has called.
	Path  route.Path `json:"path,omitzero"`
	Addr  string     `json:"addr,omitzero"`
	Relay string     `json:"relay,omitzero"`
	// Since is when the state began, in Unix milliseconds.
	Since int64 `json:"since,omitzero"`
	// RTTMs and ClockOffsetMs are those of a ping just now; nil without an answer.
	RTTMs         *float64 `json:"rttMs,omitzero"`
	ClockOffsetMs *int64   `json:"clockOffsetMs,omitzero"`
	Version       string   `json:"version,omitzero"` // what the machine's program calls itself
	Error         string   `json:"error,omitzero"`   // of the last attempt to reach it
	// Twin says that two machines run with its identity, and what to do; empty for one machine.
	Twin string `json:"twin,omitzero"`
}

// SavedPeers are the lines of an address book where nobody looks how the machines are.
func SavedPeers(b *book.Book) (lines []PeerLine) {
	for _, m := range b.All() {
		if !m.Hint {
			m.Record = nil // is for programs that pass it on
			lines = append(lines, PeerLine{Entry: m})
		}
	}
	return lines
}

// pingAllTime bounds how long the answers to a question for peers take.
const pingAllTime = 2 * time.Second

// Peers returns what this controller knows of all machines, and pings those that are connected.
// With try it dials the others first, for that long.
func (c *Controller) Peers(ctx context.Context, try time.Duration) ([]PeerLine, error) {
	lines := slices.DeleteFunc(SavedPeers(c.Node.Book()), func(l PeerLine) bool { return l.Peer == c.Node.ID() })
	pings := newFanOut(c.cfg.FanOut)
	for i := range lines {
		l := &lines[i]
		pings.do(func() {
			if try > 0 {
				ctx, cancel := context.WithTimeout(ctx, try)
				defer cancel()
				c.Node.Connect(ctx, peer.AddrInfo{ID: l.Peer}) // the standing tells what came of it
			}
			c.look(ctx, l)
		})
	}
	pings.wait()
	slices.SortFunc(lines, func(a, b PeerLine) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Peer, b.Peer))
	})
	return lines, ctx.Err()
}

// look fills in how we stand with a machine.
func (c *Controller) look(ctx context.Context, l *PeerLine) {
	l.State, l.Twin = keep.Known, c.twinWords(l.Peer)
	if st, ok := c.Node.Standings().Get(l.Peer); ok {
		l.State, l.Path, l.Addr, l.Since = st.State, st.Path, st.Addr, st.Since.UnixMilli()
		if st.Err != nil {
			l.Error = brief.Why(c.machine(Target{Peer: l.Peer, Name: l.Name}), st.Err)
		}
	}
	if c.fleet != nil && c.fleet.Revoked(l.Peer) {
		l.State = keep.Blocked
		return
	}
	conn := c.Node.BestConn(l.Peer)
	if conn == nil {
		if l.State == keep.Offline && l.LastSeen > 0 {
			l.Since = l.LastSeen
		}
		return
	}
	l.Relay = c.relayName(conn.RemoteMultiaddr())
	if !dialled(conn) {
		l.Addr = ""
	}
	if v, err := c.Node.Peerstore().Get(l.Peer, "AgentVersion"); err == nil {
		l.Version, _ = v.(string)
	}
	ctx, cancel := context.WithTimeout(ctx, pingAllTime)
	defer cancel()
	timing, err := c.ping(ctx, l.Peer)
	l.Twin = cmp.Or(l.Twin, c.twinWords(l.Peer)) // it may just have said so
	if err != nil {
		l.Error = brief.Why(c.machine(Target{Peer: l.Peer, Name: l.Name}), err)
		return
	}
	rtt := float64(timing.RTT().Microseconds()) / 1000
	offset := timing.ClockOffset().Milliseconds()
	l.RTTMs, l.ClockOffsetMs = &rtt, &offset
}

// dialled reports whether the other side of a connection can be dialled at the address that it has: of
// one that called, that has a port of its own for this one connection.
func dialled(c network.Conn) bool {
	return c.Stat().Direction == network.DirOutbound || route.Of(c) == route.Relay
}

// Self looks at this machine.
func (c *Controller) Self(ctx context.Context) (Self, error) {
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
		s.Warnings = append(s.Warnings, fleetdir.Warnings(c.fleet)...)
		s.Sheet = fleetdir.SheetWarning(c.fleet, c.cfg.StateDir)
	}
	s.ClockFault, s.Twin = clock.Fault(time.Now()), c.twinWords(c.Node.ID())
	var offsets []int64
	lines, err := c.Peers(ctx, 0)
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
	return s, err
}

// Events reports what happens from now on, until ctx ends or emit fails. A machine that is known
// before it is saved, as one that joins, is reported once it is. A slow emit misses events, and
// learns how many.
func (c *Controller) Events(ctx context.Context, emit func(Event) error) error {
	return c.hear(ctx, false, emit)
}

// EventsSoFar is [Controller.Events] for a listener of another controller that has ended: how it
// stands with each machine by now comes first.
func (c *Controller) EventsSoFar(ctx context.Context, emit func(Event) error) error {
	return c.hear(ctx, true, emit)
}

func (c *Controller) hear(ctx context.Context, soFar bool, emit func(Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	now, changes, stop := c.Node.Standings().Watch()
	defer stop()
	if !soFar {
		now = nil
	}
	q := &eventQueue{c: make(chan Event, eventsQueued)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&collector{targets: c.targets, q: q}).run(ctx, now, changes)
	}()
	defer func() { cancel(); <-done }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-q.c:
			if err := emit(e); err != nil {
				return err
			}
		}
	}
}

// PathInWords returns by which way a machine is connected; "" when it is not.
func (c *Controller) PathInWords(p peer.ID) string {
	conn := c.Node.BestConn(p)
	if conn == nil {
		return ""
	}
	if relay := c.relayName(conn.RemoteMultiaddr()); relay != "" {
		return "by way of the relay " + relay
	}
	return string(route.Of(conn))
}
