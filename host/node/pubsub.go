package node

import (
	"context"
	"errors"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/seed-b490fa12/swarm/host/trust"
)

const (
	patientFirst = time.Second      // between the first attempts to open a stream
	patientMost  = 30 * time.Second // between later ones
	patientGone  = time.Minute      // since when a peer is away, until its stream is given up
)

// patient is the host of pubsub, which opens one stream to each peer that connects. When that fails it never tries again while
// the peer is connected: if of two connections the one is closed on which the peer was just showing who it is, or a grant is
// renewed a moment later, nothing that it pushes would be heard any more.
type patient struct{ corehost.Host }

// NewStream tries until it has a stream, the peer has been gone for a while or says that it speaks none of the protocols, or
// ctx ends.
func (h patient) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	here, stranger := time.Now(), false
	for pause := patientFirst; ; pause = min(2*pause, patientMost) {
		s, err := h.Host.NewStream(network.WithNoDial(ctx, "pubsub"), p, ids...)
		if none := (multistream.ErrNotSupported[protocol.ID]{}); err == nil || errors.As(err, &none) {
			return s, err
		}
		if !errors.Is(err, network.ErrNoConn) {
			stranger = errors.Is(err, trust.ErrStranger)
		}
		if h.Network().Connectedness(p) == network.Connected {
			here = time.Now()
		} else if stranger || time.Since(here) > patientGone {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}
