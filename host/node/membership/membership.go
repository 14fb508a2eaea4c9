package membership

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	paperTimeout = 10 * time.Second // for comparing statements and handing them over
	// compareWithin is before the first request; the rest is compared at the next contact.
	compareWithin = 4 * time.Second
	paperFanOut   = 16          // peers at a time
	cutTimeout    = time.Second // for the last words to a peer that was revoked
	// tellEvery is between two times that members are told of changes: whoever has the key of an issuer
	// that has ended could make thousands, one by one.
	tellEvery = 2 * time.Second
	// tellings are at once: members that take their time hold up none of the next ones.
	tellings = 8
)

// Bounds on the statements that all strangers together may bring: each costs a signature check or
// two, 0.1 ms.
const (
	unknownRate  = 100 // a second
	unknownBurst = 500
)

// Config is what a Membership works with.
type Config struct {
	Fleet   *trust.Fleet
	Key     crypto.PrivKey // of this node, which may be an issuer
	Network network.Network
	Client  *streams.Client
	// Greet greets a peer again, and returns what stands for the statements that it has for us.
	Greet func(context.Context, network.Conn) (digest string, err error)
	// Part says goodbye to a peer that was revoked, and closes these connections to it.
	Part func(context.Context, peer.ID, []network.Conn) error
	// OnProbation reports whether the peer of a connection counts as a stranger already.
	OnProbation func(network.Conn) bool
	// Promote is called with peers that count as members now.
	Promote func(peer.ID)
	// Life ends with the node, and Go runs a function in a goroutine that the node waits for when
	// it closes, with a context that ends with Life.
	Life   context.Context
	Go     func(func(context.Context))
	Logger *slog.Logger
}

// Membership keeps a node and the members that it meets to the same statements. Its methods may be
// called concurrently.
type Membership struct {
	cfg      Config
	log      *slog.Logger
	unknown  *rate.Limiter // of statements that strangers bring
	renewing sync.Mutex    // held while a grant is renewed
	unhook   func()
	turns    chan struct{} // has a token for each time that members are being told

	mu   sync.Mutex // guards what follows
	due  bool       // members are about to be told
	told time.Time  // when they were told last
}

// New makes a membership that acts on what is learnt until Close.
func New(cfg Config) *Membership {
	m := &Membership{
		cfg: cfg, log: cfg.Logger, unknown: rate.NewLimiter(unknownRate, unknownBurst), turns: make(chan struct{}, tellings),
	}
	m.unhook = cfg.Fleet.Notify(m.changed)
	return m
}

// Close ends the news of the fleet.
func (m *Membership) Close() { m.unhook() }

// Register serves the statements of the fleet on mux.
func (m *Membership) Register(mux *streams.Mux) error {
	return errors.Join(Compare.Handle(mux, m.answerCompare), GetStatements.Handle(mux, m.answerStatements),
		PutStatements.Handle(mux, m.takeStatements))
}

// Met does what is due between two members that have greeted. The dialling side has compared
// statements already, because a command's process does not serve requests; an issuer, on either
// side, signs what is due.
func (m *Membership) Met(c network.Conn) {
	dialled := c.Stat().Direction == network.DirOutbound
	m.cfg.Go(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, paperTimeout)
		defer cancel()
		if _, err := m.cfg.Fleet.Learn(); err != nil { // what could not be saved before
			m.log.Error("a statement of the fleet counts, and is not on the disk", "err", err)
		}
		if dialled || m.cfg.Fleet.Self().Grant.MayIssue != nil {
			if err := m.attend(ctx, party{peer: c.RemotePeer()}); err != nil && ctx.Err() == nil {
				m.log.Debug("a grant could not be handed over", "peer", c.RemotePeer(), "err", err)
			}
		}
	})
}

// Compare brings this node and a member that it dialled to the same statements, before anything
// else is asked of it: what either has heard counts for the first command. digest stands for the
// peer's own statements.
func (m *Membership) Compare(c network.Conn, digest string) {
	p := c.RemotePeer()
	ctx, cancel := context.WithTimeout(m.cfg.Life, compareWithin)
	defer cancel()
	if err := m.sync(ctx, party{p, c}, digest); err != nil && ctx.Err() == nil {
		m.log.Debug("statements could not be compared", "peer", c.RemotePeer(), "err", err)
	}
	if mem, ok := m.cfg.Fleet.Known(p); ok && mem.Err != nil {
		if err := m.attend(ctx, party{p, c}); err != nil && ctx.Err() == nil {
			m.log.Debug("a grant could not be handed over", "peer", c.RemotePeer(), "err", err)
		}
	}
}

// changed acts on what is newly revoked, and passes it on.
func (m *Membership) changed() {
	m.cfg.Go(func(ctx context.Context) {
		// A peer that is on probation again is told in its handshake.
		out := make(map[peer.ID][]network.Conn)
		for _, c := range m.cfg.Network.Conns() {
			if p := c.RemotePeer(); m.cfg.Fleet.Revoked(p) && !m.cfg.OnProbation(c) {
				out[p] = append(out[p], c)
			}
		}
		for p, conns := range out {
			m.cut(p, conns)
		}
		m.tell(ctx)
	})
}

// tell tells members of a change, at once or with those that come shortly after.
func (m *Membership) tell(ctx context.Context) {
	m.mu.Lock()
	wait := time.Until(m.told.Add(tellEvery))
	if m.due {
		m.mu.Unlock()
		return
	}
	m.due = true
	m.mu.Unlock()
	paused := time.NewTimer(wait)
	defer paused.Stop()
	select {
	case <-ctx.Done():
		return
	case <-paused.C:
	}
	select {
	case <-ctx.Done():
		return
	case m.turns <- struct{}{}:
	}
	defer func() { <-m.turns }()
	m.mu.Lock()
	m.due, m.told = false, time.Now()
	m.mu.Unlock()
	m.tellMembers()
}

// cut ends the connections of a peer that was revoked.
func (m *Membership) cut(p peer.ID, conns []network.Conn) {
	m.log.Warn("cut off a peer that was revoked", "peer", p)
	m.cfg.Go(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, cutTimeout)
		defer cancel()
		// So that the peer can tell its owner by whom and when.
		if r := m.cfg.Fleet.Revocation(p); r != nil {
			if _, _, err := PutStatements.DoOn(ctx, m.cfg.Client, conns[0], Statements{[][]byte{r.Data}}); err != nil {
				m.log.Debug("a revoked peer was not told by whom", "peer", p, "err", err)
			}
		}
		if err := m.cfg.Part(ctx, p, conns); err != nil {
			m.log.Debug("a revoked peer was not told", "peer", p, "err", err)
		}
	})
}

// tellMembers greets all connected members again, shows them our own grant, and compares statements
// with them.
func (m *Membership) tellMembers() {
	var told errgroup.Group
	told.SetLimit(paperFanOut)
	for _, p := range m.cfg.Network.Peers() {
		conns := m.cfg.Network.ConnsToPeer(p)
		if len(conns) == 0 || !m.cfg.Fleet.Member(p) || !m.takesRequests(conns[0]) {
			continue
		}
		told.Go(func() error {
			m.GreetAgain(conns[0])
			return nil
		})
	}
	_ = told.Wait() // each logs its own error
}

// takesRequests reports whether the peer may be asked: a controller that dialled us may be a
// command that is gone in a moment.
func (m *Membership) takesRequests(c network.Conn) bool {
	mem, ok := m.cfg.Fleet.Known(c.RemotePeer())
	return c.Stat().Direction == network.DirOutbound || !ok || mem.Grant.Role == trust.RoleWorker ||
		mem.Grant.Role == trust.RoleRelay
}

// GreetAgain shows our own grant to a peer, sees its own, and compares statements with it.
func (m *Membership) GreetAgain(c network.Conn) {
	ctx, cancel := context.WithTimeout(m.cfg.Life, paperTimeout)
	defer cancel()
	digest, err := m.cfg.Greet(ctx, c)
	if err == nil {
		err = m.sync(ctx, party{c.RemotePeer(), c}, digest)
	}
	if err != nil && ctx.Err() == nil {
		m.log.Debug("a member could not be told of a change", "peer", c.RemotePeer(), "err", err)
	}
}
