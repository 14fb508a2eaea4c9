package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
)

// lookupTime is how long Connect asks the DHT about a peer that does not answer.
const lookupTime = 5 * time.Second

// Errors of Connect that a caller can act on.
var (
	// ErrNoAddress comes when nobody could say where a peer is. Give its address, or wait for discovery.
	ErrNoAddress = errors.New("no address is known")
	// ErrUnreachable comes when no address of a peer answers. Retry later.
	ErrUnreachable = errors.New("peer is unreachable")
	// ErrOtherPeer comes when somebody else answers at the address: a typo, a reinstalled machine, or an attack. Do not retry.
	ErrOtherPeer = errors.New("another peer answers there")
	// ErrSelf comes when the peer is this node.
	ErrSelf = errors.New("that peer is this node itself")
)

// Connect makes sure there is a connection to a peer, dialling the addresses given and all that are known from discovery and
// the address book; when none of them answers the DHT is asked for others. Unlike libp2p's it dials at once even
// when an attempt has just failed, and its error says in one line what was tried and how each address failed.
func (h *Host) Connect(ctx context.Context, p peer.AddrInfo) error {
	err := h.dial(ctx, p)
	if h.dht == nil || !errors.Is(err, ErrNoAddress) && !errors.Is(err, ErrUnreachable) {
		return err
	}
	tried := h.Peerstore().Addrs(p.ID)
	lookup, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	found, findErr := h.dht.FindPeer(lookup, p.ID)
	news := slices.DeleteFunc(found.Addrs, func(a multiaddr.Multiaddr) bool { return multiaddr.Contains(tried, a) })
	if findErr != nil || len(news) == 0 {
		return err
	}
	h.log.Debug("the dht knows other addresses of a peer", "peer", p.ID, "addrs", news)
	return h.dial(ctx, peer.AddrInfo{ID: p.ID, Addrs: news})
}

// dial is Connect without the DHT: what the reconnect loop repeats has to be quiet.
func (h *Host) dial(ctx context.Context, p peer.AddrInfo) error {
	if p.ID == h.ID() {
		return fmt.Errorf("connect to %s: %w", p.ID, ErrSelf)
	}
	if h.Network().Connectedness(p.ID) == network.Connected {
		return nil
	}
	if m, ok := h.book.Get(p.ID); ok {
		p.Addrs = slices.Concat(p.Addrs, m.AddrInfo().Addrs)
	}
	if len(p.Addrs) == 0 && len(h.Peerstore().Addrs(p.ID)) == 0 {
		return fmt.Errorf("connect to %s: %w; give one that ends in /p2p/%s, or a bootstrap peer that knows it", p.ID, ErrNoAddress, p.ID)
	}
	h.clearBackoff(p.ID)
	return explainDial(p.ID, h.Host.Connect(ctx, p))
}

// clearBackoff lets the next dial happen now: the library would refuse it for minutes after a failed one.
func (h *Host) clearBackoff(p peer.ID) {
	if n, ok := h.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		n.Backoff().Clear(p)
	}
}

// explainDial turns libp2p's many lines into one, of the kind a caller can act on.
func explainDial(p peer.ID, err error) error {
	if err == nil {
		return nil
	}
	kind := ErrUnreachable
	if mismatch := (sec.ErrPeerIDMismatch{}); errors.As(err, &mismatch) {
		kind = ErrOtherPeer
	}
	var dial *swarm.DialError
	if !errors.As(err, &dial) || len(dial.DialErrors) == 0 {
		return fmt.Errorf("connect to %s: %w: %w", p, kind, err)
	}
	tried := make([]string, 0, len(dial.DialErrors))
	for _, e := range dial.DialErrors {
		tried = append(tried, fmt.Sprintf("%s (%s)", e.Address, inWords(e.Cause)))
	}
	return &dialError{text: fmt.Sprintf("connect to %s: %s: %s", p, kind, strings.Join(tried, ", ")), kind: kind, cause: err}
}

// dialError has a short text and keeps the long cause for errors.Is and As.
type dialError struct {
	text        string
	kind, cause error
}

func (e *dialError) Error() string   { return e.text }
func (e *dialError) Unwrap() []error { return []error{e.kind, e.cause} }

// inWords shortens the usual causes; the last part of a chain of texts is the one that tells.
func inWords(err error) string {
	var mismatch sec.ErrPeerIDMismatch
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &mismatch):
		return "peer " + mismatch.Actual.String() + " is there"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "no answer"
	}
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}
