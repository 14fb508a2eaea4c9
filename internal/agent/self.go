package agent

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/reach"
)

// Self is what a controller finds about the machine it runs on.
type Self struct {
	Peer     peer.ID  `json:"peer"`
	Fleet    string   `json:"fleet,omitzero"`
	Warnings []string `json:"warnings"`
	// Sheet says what the printed backup sheet lacks; empty for nothing.
	Sheet string `json:"sheet,omitzero"`
	// Twin says that another machine runs with this identity.
	Twin      string    `json:"twin,omitzero"`
	Addrs     []string  `json:"addrs"`
	Public    bool      `json:"public"`
	Relays    []string  `json:"relays"`
	NAT       reach.NAT `json:"nat"`
	UDP       *bool     `json:"udp,omitzero"`
	Connected int       `json:"connected"`
	Known     int       `json:"known"`
	// ClockOffsetMs is the median of what connected machines' clocks differ by; nil without any.
	ClockOffsetMs *int64 `json:"clockOffsetMs,omitzero"`
	// Clocks are connected machines whose clocks differ by more than a minute, at most 16.
	Clocks []ClockLine `json:"clocks,omitzero"`
	// ClockFault says why this machine's clock cannot be right; empty where it may be.
	ClockFault string `json:"clockFault,omitzero"`
}

const (
	clockWarn = time.Minute // of a difference between clocks that is named wherever it is seen
	maxClocks = 16          // machines that are named for their clocks
)

// ClockLine is a machine whose clock is not as ours.
type ClockLine struct {
	Name    string `json:"name"`
	AheadMs int64  `json:"aheadMs"` // negative for one that is behind
}

// otherClocks are connected machines, at most so many, whose clocks differ from ours by more than a
// minute.
func otherClocks(lines []PeerLine) (out []ClockLine) {
	for _, l := range lines {
		if l.ClockOffsetMs == nil || len(out) >= maxClocks {
			continue
		}
		if ahead := time.Duration(*l.ClockOffsetMs) * time.Millisecond; ahead.Abs() > clockWarn {
			out = append(out, ClockLine{targetOf(l.Entry).Label(), *l.ClockOffsetMs})
		}
	}
	return out
}
