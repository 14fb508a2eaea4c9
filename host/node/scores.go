package node

import (
	"context"
	"errors"
	"path/filepath"
	"time"

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
			n.log.Warn("scores begin anew", "err", err)
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

// observe turns the outcome of an exchange into a score, and passes it on.
func (n *Node) observe(o streams.Outcome) {
	if s, counts := n.outcome(o); counts {
		n.Scores.Observe(o.Peer, s)
	}
	if !o.Inbound && streams.CodeOf(o.Err) == streams.CodeTimeout {
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
		// With no connection at all it may well be our own link that is down.
		return scoring.Failure, len(n.Network().Peers()) > 0
	case code == streams.CodeTimeout:
		return scoring.Timeout, len(n.Network().Peers()) > 0
	case code == streams.CodeInternal:
		return scoring.Failure, true
	}
	return scoring.Success, true // a refusal in words is an answer
}
