package greet

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// PeerInfo is what is known of a connected peer.
type PeerInfo struct {
	ID    peer.ID
	Hello Hello     // what it says of itself: display data
	Since time.Time // of the connection
	// RTT and ClockOffset were measured in the handshake; 0 when the peer dialled us, and we have
	// not measured.
	RTT         time.Duration
	ClockOffset time.Duration
	Conn        network.Conn
	// Grant is what the fleet says of the peer; nil for one that is no member.
	Grant *trust.Grant

	// Shown reports whether it has shown a grant of our fleet, be it one that counts or not.
	Shown bool
	// Digest stands for the statements that it has for us; empty where it does not say so.
	Digest string
}

// greetings are the handshakes of the open connections.
type greetings struct {
	mu    sync.Mutex
	conns map[network.Conn]*greeting
	// refusals are why peers have turned us away lately; their connections are gone by then.
	refusals map[peer.ID]refusal
}

const (
	refusedFor  = 10 * time.Second
	maxRefusals = 1024
)

var errConnClosed = errors.New("the connection is closed")

// refuse notes why a peer has turned us away.
func (g *greetings) refuse(p peer.ID, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refusals == nil || len(g.refusals) >= maxRefusals {
		g.refusals = make(map[peer.ID]refusal)
	}
	g.refusals[p] = refusal{err, time.Now().Add(refusedFor)}
}

// refused returns why a peer has turned us away a moment ago, or nil.
func (g *greetings) refused(p peer.ID) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r, ok := g.refusals[p]; ok && time.Now().Before(r.until) {
		return r.err
	}
	return nil
}

type refusal struct {
	err   error
	until time.Time
}

type greeting struct {
	done  chan struct{} // closed when info and err are set
	begun bool          // our own handshake is under way
	over  bool          // done is closed
	info  PeerInfo
	err   error
}

// get returns the greeting of c. The caller holds mu.
func (g *greetings) get(c network.Conn) *greeting {
	if gr := g.conns[c]; gr != nil {
		return gr
	}
	gr := &greeting{done: make(chan struct{})}
	if c.IsClosed() {
		gr.err, gr.begun, gr.over = errConnClosed, true, true
		close(gr.done)
		return gr
	}
	if g.conns == nil {
		g.conns = make(map[network.Conn]*greeting)
	}
	g.conns[c] = gr
	return gr
}

// begin returns the greeting of c; first reports whether the caller has to do the handshake.
func (g *greetings) begin(c network.Conn) (gr *greeting, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gr = g.get(c)
	first = !gr.begun
	gr.begun = true
	return gr, first
}

// of returns the greeting of c, whichever side begins it.
func (g *greetings) of(c network.Conn) *greeting {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.get(c)
}

// wait waits until the greeting is done.
func (gr *greeting) wait(ctx context.Context) error {
	select {
	case <-gr.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish says that a greeting is done. The caller holds mu.
func (gr *greeting) finish() {
	if !gr.over {
		gr.over = true
		close(gr.done)
	}
}

// measured notes how far the clock of a peer that has been greeted is ahead now.
func (g *greetings) measured(c network.Conn, ahead time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if old := g.conns[c]; old != nil && old.over {
		now := *old // others may be reading the old one
		now.info.ClockOffset = ahead
		g.conns[c] = &now
	}
}

// set records the greeting of an inbound connection. Where this node dialled, only its own
// handshake counts.
func (g *greetings) set(c network.Conn, info PeerInfo) {
	if c.Stat().Direction == network.DirOutbound {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	gr := g.get(c)
	gr.info = info
	gr.finish()
}

// end sets the result of a handshake. One that failed is forgotten, so that the next request on the
// connection tries again.
func (g *greetings) end(c network.Conn, gr *greeting, info PeerInfo, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gr.info, gr.err = info, err
	if err != nil && g.conns[c] == gr {
		delete(g.conns, c)
	}
	gr.finish()
}

func (g *greetings) remove(c network.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

// list returns the peers that have greeted, in no order.
func (g *greetings) list() (out []PeerInfo) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, gr := range g.conns {
		select {
		case <-gr.done:
			if gr.err == nil {
				out = append(out, gr.info)
			}
		default:
		}
	}
	return out
}
