package lines

import (
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/agent"
)

// Peer is a machine that a controller knows, a line of "swarm peers". What nobody looked at is null.
type Peer struct {
	Peer        peer.ID           `json:"peer"`
	Name        *string           `json:"name"`
	ClaimedName *string           `json:"claimedName"`
	Role        *string           `json:"role"`
	Labels      map[string]string `json:"labels"`
	// Addrs are those where it was met or that its owner gave, Announced those that others told.
	Addrs     []string `json:"addrs"`
	Announced []string `json:"announced"`
	LastSeen  int64    `json:"lastSeen"`

	State *string `json:"state"`
	Since int64   `json:"since"`
	Path  *string `json:"path"`
	Addr  *string `json:"addr"`
	Relay *string `json:"relay"`

	RTTMs         *float64 `json:"rttMs"`
	ClockOffsetMs *int64   `json:"clockOffsetMs"`
	Version       *string  `json:"version"`
	// Why is why it could not be reached, Twin that two machines run with its identity.
	Why  *string `json:"why"`
	Twin *string `json:"twin"`
}

// NewPeer returns the line of a machine.
func NewPeer(l agent.PeerLine) Peer {
	return Peer{
		Peer: l.Peer, Name: Known(l.Name), ClaimedName: Known(l.ClaimedName), Role: Known(l.Role), Labels: l.Labels,
		Addrs: slices.Clone(l.Addrs), Announced: slices.Clone(l.Announced), LastSeen: l.LastSeen,
		State: Known(string(l.State)), Since: l.Since, Path: Known(string(l.Path)), Addr: Known(l.Addr), Relay: Known(l.Relay),
		RTTMs: l.RTTMs, ClockOffsetMs: l.ClockOffsetMs, Version: Known(l.Version), Why: Known(l.Error), Twin: Known(l.Twin),
	}
}

// Known returns a text to print, or nil for one that is not known.
func Known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
