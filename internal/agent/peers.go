package agent

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/keep"
	"github.com/seed-b490fa12/swarm/host/route"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/node/greet"
)

// PeerLine is what a controller knows of one machine, and how it stands with it now.
type PeerLine struct {
	book.Entry
	// State is "" where nobody looked, else one of known, dialling, connected, relayed, offline and blocked.
	State keep.State `json:"state,omitzero"`
	// Path is LAN, direct or relay, Addr the address and Relay who passes it on, while connected.
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

// Peers returns what this controller knows of all machines, and pings those that are connected. With try it dials the
// others first, for that long.
func (c *Controller) Peers(ctx context.Context, try time.Duration) []PeerLine {
	lines := slices.DeleteFunc(SavedPeers(c.Node.Book()), func(l PeerLine) bool { return l.Peer == c.Node.ID() })
	var pings sync.WaitGroup
	slots := make(chan struct{}, c.cfg.FanOut)
	for i := range lines {
		l := &lines[i]
		pings.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if try > 0 {
				ctx, cancel := context.WithTimeout(ctx, try)
				defer cancel()
				c.Node.Connect(ctx, peer.AddrInfo{ID: l.Peer}) // the standing tells what came of it
			}
			c.look(ctx, l)
		})
	}
	pings.Wait()
	slices.SortFunc(lines, func(a, b PeerLine) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Peer, b.Peer))
	})
	return lines
}

// look fills in how we stand with a machine.
func (c *Controller) look(ctx context.Context, l *PeerLine) {
	l.State, l.Twin = keep.Known, c.twinWords(l.Peer)
	if st, ok := c.Node.Standings().Get(l.Peer); ok {
		l.State, l.Path, l.Addr, l.Since = st.State, st.Path, st.Addr, st.Since.UnixMilli()
		if st.Err != nil {
			l.Error = st.Err.Error()
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
	if v, err := c.Node.Peerstore().Get(l.Peer, "AgentVersion"); err == nil {
		l.Version, _ = v.(string)
	}
	ctx, cancel := context.WithTimeout(ctx, pingAllTime)
	defer cancel()
	sent := time.Now()
	pong, err := greet.Ping.Do(ctx, c.Node.Client, l.Peer, greet.PingRequest{SentAt: sent.UnixMilli()})
	l.Twin = cmp.Or(l.Twin, c.twinWords(l.Peer)) // it may just have said so
	if err != nil {
		l.Error = err.Error()
		return
	}
	took := time.Since(sent)
	rtt := float64(took.Microseconds()) / 1000
	offset := time.UnixMilli(pong.ReceivedAt).Sub(sent.Add(took / 2)).Milliseconds()
	l.RTTMs, l.ClockOffsetMs = &rtt, &offset
}

// peers answers with all machines.
func (s *Server) peers(w http.ResponseWriter, r *http.Request) {
	out := &lines{w: w}
	s.c.refresh()
	for _, l := range s.c.Peers(r.Context(), 0) {
		if out.write(socketLine{Peer: &l}) != nil {
			return
		}
	}
}

// self answers with how it stands with this machine.
func (s *Server) self(w http.ResponseWriter, r *http.Request) {
	s.c.refresh()
	self := s.c.Self(r.Context())
	(&lines{w: w}).write(socketLine{Self: &self})
}

// Self asks the controller that serves here how it stands with this machine.
func (r *Remote) Self(ctx context.Context) (Self, error) {
	answer, err := r.post(ctx, "/v1/self", struct{}{})
	if err != nil {
		return Self{}, err
	}
	for l, err := range answer {
		if err != nil {
			return Self{}, err
		}
		if l.Self != nil {
			return *l.Self, nil
		}
	}
	return Self{}, errors.New("the controller that serves here says nothing of itself")
}

// Peers asks the controller that serves here for its machines.
func (r *Remote) Peers(ctx context.Context) (out []PeerLine, err error) {
	answer, err := r.post(ctx, "/v1/peers", struct{}{})
	if err != nil {
		return nil, err
	}
	for l, err := range answer {
		if err != nil {
			return out, err
		}
		if l.Peer != nil {
			out = append(out, *l.Peer)
		}
	}
	return out, nil
}

// relayName names who passes on what goes to an address; empty for a direct one.
func (c *Controller) relayName(a multiaddr.Multiaddr) string {
	relay := route.RelayOf(a)
	if relay == "" {
		return ""
	}
	m, _ := c.Node.Book().Get(relay)
	return cmp.Or(targetOf(m).Display(), relay.String())
}

func (c *Controller) relayNameText(addr string) string {
	a, err := multiaddr.NewMultiaddr(addr)
	if err != nil {
		return ""
	}
	return c.relayName(a)
}
