package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
)

// How Connect asks the DHT about a peer that does not answer.
const (
	lookupTime  = 2 * time.Second // for others to say where a peer is; and never more than half of what the caller gives
	lookupPeers = 4               // others to turn to while we are not a part of the DHT
)

// Errors of Connect that a caller can act on.
var (
	// ErrNoAddress comes when nobody could say where a peer is. Give its address, or wait for discovery.
	ErrNoAddress = errors.New("no address is known")
	// ErrUnreachable comes when no address of a peer answers. Retry later.
	ErrUnreachable = errors.New("peer is unreachable")
	// ErrOtherPeer comes when somebody else answers at the address: a typo, a reinstalled machine, or an attack. Do not retry.
	ErrOtherPeer = errors.New("another peer answers there")
	// ErrDenied says that this node's own settings forbid an address, which was not dialled.
	ErrDenied = errors.New("this machine's own settings forbid it")
	// ErrNoRoute says that this machine has no way to the network of an address.
	ErrNoRoute = errors.New("this machine has no route there")
	// ErrTurnedAway comes when a relay does not take this node for a member: it is none, or the relay's clock is wrong.
	ErrTurnedAway = errors.New("the relay turned us away")
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
	news := slices.DeleteFunc(h.lookUp(ctx, p.ID), func(a multiaddr.Multiaddr) bool { return multiaddr.Contains(tried, a) })
	if len(news) == 0 {
		return err
	}
	h.log.Debug("the dht knows other addresses of a peer", "peer", p.ID, "addrs", news)
	h.Peerstore().AddAddrs(p.ID, news, peerstore.TempAddrTTL)
	return h.dial(ctx, peer.AddrInfo{ID: p.ID})
}

// lookUp asks the DHT where a peer is. A process that has just started is not a part of it yet, so it first turns to
// others it knows.
func (h *Host) lookUp(ctx context.Context, p peer.ID) []multiaddr.Multiaddr {
	most := lookupTime
	if end, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(end)/2) // so that what was tried can still be told
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if !h.dht.Ready() && (!h.reachOthers(ctx, p) || !h.dht.WaitReady(ctx)) {
		return nil
	}
	info, err := h.dht.FindPeer(ctx, p)
	if err != nil {
		return nil
	}
	return info.Addrs
}

// reachOthers connects with one of a few kept or saved peers, and reports whether any answered. Dials that are still under way
// end with ctx.
func (h *Host) reachOthers(ctx context.Context, but peer.ID) bool {
	others := slices.DeleteFunc(slices.Concat(h.keeper.list(), h.savedPeers()), func(o peer.AddrInfo) bool { return o.ID == but })
	others = others[:min(len(others), lookupPeers)]
	answers := make(chan bool, len(others))
	for _, o := range others {
		go func() { answers <- h.dial(ctx, o) == nil }()
	}
	for range others {
		if <-answers {
			return true
		}
	}
	return false
}

// dial is Connect without the DHT: what the reconnect loop repeats has to be quiet. The addresses given are trusted.
func (h *Host) dial(ctx context.Context, p peer.AddrInfo) error {
	if p.ID == h.ID() {
		return fmt.Errorf("connect to %s: %w", p.ID, ErrSelf)
	}
	if h.Network().Connectedness(p.ID) == network.Connected {
		return nil
	}
	h.order.given.add(p.Addrs...)
	if m, ok := h.book.Get(p.ID); ok {
		p.Addrs = slices.Concat(p.Addrs, m.AddrInfo().Addrs)
		m.Told = nil
		h.order.given.add(m.AddrInfo().Addrs...)
	}
	if len(p.Addrs) == 0 && len(h.Peerstore().Addrs(p.ID)) == 0 && len(h.knownRelays(p.ID)) == 0 {
		return fmt.Errorf("connect to %s: %w; give one that ends in /p2p/%s, or a bootstrap peer that knows it", p.ID, ErrNoAddress, p.ID)
	}
	h.clearBackoff(p.ID)
	h.standings.tell(p.ID, evDial, nil, nil)
	err := h.explain(p.ID, h.dialAll(ctx, p))
	if err != nil {
		h.standings.tell(p.ID, evFail, nil, err)
	}
	return err
}

// clearBackoff lets the next dial happen now: the library would refuse it for minutes after a failed one.
func (h *Host) clearBackoff(p peer.ID) {
	if n, ok := h.Network().(interface{ Backoff() *swarm.DialBackoff }); ok {
		n.Backoff().Clear(p)
	}
}

// explain turns libp2p's many lines into one, of the kind a caller can act on.
func (h *Host) explain(p peer.ID, errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	kind, all := ErrUnreachable, errors.Join(errs...)
	if mismatch := (sec.ErrPeerIDMismatch{}); errors.As(all, &mismatch) {
		kind = ErrOtherPeer
	}
	var tried []string
	var clocks error
	for _, err := range errs {
		var dial *swarm.DialError
		if !errors.As(err, &dial) || len(dial.DialErrors) == 0 {
			tried = append(tried, inWords(err))
			continue
		}
		for _, e := range dial.DialErrors {
			if clockError(e.Cause) != nil {
				clocks = ErrClocks
			}
			if h.answeredBySelf(e.Cause) {
				h.heardSelf("dial", []multiaddr.Multiaddr{e.Address})
			}
			tried = append(tried, fmt.Sprintf("%s (%s)", h.placeInWords(e.Address), h.words(e.Cause)))
		}
	}
	slices.Sort(tried)
	tried = slices.Compact(tried)
	return &dialError{text: fmt.Sprintf("connect to %s: %s: %s", p, kind, strings.Join(tried, ", ")), kind: kind, cause: errors.Join(clocks, all)}
}

// placeInWords names an address that was dialled; a relay by its name.
func (h *Host) placeInWords(a multiaddr.Multiaddr) string {
	relay := RelayOf(a)
	if relay == "" {
		return a.String()
	}
	if m, ok := h.book.Get(relay); ok && m.Name != "" {
		return "relay " + m.Name
	}
	return "relay " + relay.String()
}

// words are those of the usual causes why an address was no good.
func (h *Host) words(err error) string {
	text := err.Error()
	var mismatch sec.ErrPeerIDMismatch
	clocks := clockError(err)
	switch {
	case clocks != nil:
		return clocks.Error()
	case errors.As(err, &mismatch):
		return inWords(err)
	case errors.Is(err, swarm.ErrGaterDisallowedConnection):
		return ErrForbidden.Error() + h.cfg.hint(ErrForbidden)
	case turnedAway(err):
		return ErrTurnedAway.Error() + ": it does not take this machine for a member"
	case strings.Contains(text, "NO_RESERVATION"):
		return "it is not connected there"
	case strings.Contains(text, "PERMISSION_DENIED"):
		return "the relay does not let us through"
	case strings.Contains(text, securityFailed) && cutOff(err):
		return "it ended the connection before it said anything: it is crowded, or its network has a key" + h.cfg.hint(ErrNetworkKey)
	case len(h.cfg.NetworkKey) > 0 && strings.Contains(text, "negotiate"):
		return "it has another network key, or none"
	case strings.Contains(text, securityFailed):
		return "it speaks another protocol; perhaps its network has a key" + h.cfg.hint(ErrNetworkKey)
	}
	return inWords(err)
}

// securityFailed is what the library says, in text alone, of a connection that ended in its handshake.
const securityFailed = "failed to negotiate security protocol"

// cutOff reports whether the other side ended the connection, as one does that has no room.
func cutOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// turnedAway reports whether a relay has reset our request because we are no member for it, see Guard.
func turnedAway(err error) bool {
	reset, ok := errors.AsType[*network.StreamError](err)
	return ok && reset.Remote && reset.ErrorCode == network.StreamProtocolViolation
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
