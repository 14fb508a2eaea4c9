package node

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/scoring"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	scoresFile      = "scores.json"
	saveScoresEvery = 5 * time.Minute
)

func (n *Node) scoresPath() string {
	if n.cfg.Host.StateDir == "" {
		return ""
	}
	return filepath.Join(n.cfg.Host.StateDir, scoresFile)
}

// loadScores opens the saved scores; the connection manager hears of each change.
func (n *Node) loadScores() *scoring.Book {
	book := scoring.New(scoring.Config{MaxPeers: n.cfg.Host.MaxPeers, Tagger: n.ConnManager()})
	if path := n.scoresPath(); path != "" {
		if err := book.Load(path); err != nil {
			aside := ""
			if errors.Is(err, scoring.ErrDamaged) {
				aside, _ = durable.SetAside(path)
			}
			n.log.Warn("scores begin anew", "err", err, "file", aside)
		}
	}
	return book
}

// keepScores saves the scores now and then, and at the end.
func (n *Node) keepScores(ctx context.Context) error {
	path := n.scoresPath()
	if path == "" {
		return nil
	}
	tick := time.NewTicker(saveScoresEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if n.Scores.Len() == 0 {
			continue
		}
		if err := n.Scores.Save(path); err != nil {
			n.log.Warn("scores could not be saved", "err", err)
		}
	}
	return nil
}

// linkFresh is how long an answer proves that our own link works.
const linkFresh = 30 * time.Second

// links are when others have answered last, in our networks and beyond: where nobody does it may well be our own link
// that is down, and that is nobody's fault.
type links struct {
	mu       sync.Mutex // guards answered
	answered map[bool]answer
}

type answer struct {
	peer peer.ID
	at   time.Time
}

// fresh reports whether p was the one to answer a moment ago.
func (l *links) fresh(p peer.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.answered {
		if a.peer == p && time.Since(a.at) < time.Second {
			return true
		}
	}
	return false
}

// outside reports whether p is reached beyond our own networks.
func (n *Node) outside(p peer.ID) bool {
	if c := n.BestConn(p); c != nil {
		return host.PathOf(c) != host.PathLAN
	}
	m, _ := n.Book().Get(p)
	return slices.ContainsFunc(m.AddrInfo().Addrs, manet.IsPublicAddr)
}

func (n *Node) heard(p peer.ID) {
	if n.links.fresh(p) {
		return // the usual case, and a cheap one
	}
	side := n.outside(p)
	n.links.mu.Lock()
	defer n.links.mu.Unlock()
	if n.links.answered == nil {
		n.links.answered = make(map[bool]answer)
	}
	n.links.answered[side] = answer{p, time.Now()}
}

// linkWorks reports whether another peer on the same side has answered lately.
func (n *Node) linkWorks(p peer.ID) bool {
	side := n.outside(p)
	n.links.mu.Lock()
	defer n.links.mu.Unlock()
	a := n.links.answered[side]
	return a.peer != p && time.Since(a.at) < linkFresh
}

// observe turns the outcome of an exchange into a score, and passes it on.
func (n *Node) observe(o streams.Outcome) {
	if s, counts := n.outcome(o); counts {
		n.Scores.Observe(o.Peer, s)
	}
	switch {
	case o.Err == nil:
		n.heard(o.Peer)
	case !o.Inbound && streams.CodeOf(o.Err) == streams.CodeTimeout:
		n.suspect(o.Peer)
	}
	if n.cfg.Observe != nil {
		n.cfg.Observe(o)
	}
}

// outcome says what an exchange tells of the peer; most that others ask of us
// tells nothing.
func (n *Node) outcome(o streams.Outcome) (_ scoring.Outcome, counts bool) {
	code := streams.CodeOf(o.Err)
	if o.Inbound {
		switch code {
		case streams.CodeInvalid, streams.CodeUnauthenticated, streams.CodeTooLarge:
			return scoring.BadMessage, true
		case streams.CodeForbidden:
			return scoring.Forbidden, true
		}
		return 0, false
	}
	switch {
	case o.Err == nil:
		return scoring.Success, true
	case errors.Is(o.Err, streams.ErrBadReply):
		return scoring.BadMessage, true
	case errors.Is(o.Err, context.Canceled):
		return 0, false
	case errors.Is(o.Err, streams.ErrUnreachable):
		return scoring.Failure, n.linkWorks(o.Peer)
	case code == streams.CodeTimeout:
		return scoring.Timeout, n.linkWorks(o.Peer)
	case code == streams.CodeInternal:
		return scoring.Failure, true
	}
	return scoring.Success, true // a refusal in words is an answer
}
