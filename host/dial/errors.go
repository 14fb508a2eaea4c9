// Package dial has the order in which a peer's addresses are dialled, and the reasons, in words and
// as error values, why none of them was good.
package dial

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/host/transport"
)

// Reasons why a peer is not connected.
var (
	// ErrNoAddress means that no address of the peer is known. Give one, or wait for discovery.
	ErrNoAddress = errors.New("no address is known")
	// ErrUnreachable means that no address of the peer answers. Retry later.
	ErrUnreachable = errors.New("peer is unreachable")
	// ErrOtherPeer means that another peer answers at the address: a typo, a reinstalled machine,
	// or an attack. Do not retry.
	ErrOtherPeer = errors.New("another peer answers there")
	// ErrTurnedAway means that a relay does not take this node for a member: it is none, or the
	// relay's clock is wrong.
	ErrTurnedAway = errors.New("the relay turned us away")
	// ErrClocks means that a certificate is not valid by the clock of the other side: one of the two
	// clocks is wrong. Set it, and retry. Only programs older than this one have such certificates.
	ErrClocks = errors.New("the clocks differ")
	// ErrDenied means that this node's own settings forbid an address, which was not dialled.
	ErrDenied = errors.New("this machine's own settings forbid it")
	// ErrDeniedNet means that an address is in a network that this node denies, and ErrOtherNet
	// that it is in none of those that this node allows.
	ErrDeniedNet = errors.New("this machine denies that network")
	ErrOtherNet  = errors.New("this machine allows other networks only")
	// ErrNetworkKey means that the other side may have a network key and this one not, or the other
	// way round.
	ErrNetworkKey = errors.New("its network has a key")
	// ErrProxy means that the proxy of this machine's network cannot be used.
	ErrProxy = transport.ErrProxy
	// ErrNoRoute means that this machine has no way to the network of an address.
	ErrNoRoute = errors.New("this machine has no route there")
	// ErrInBetween means that what answers at the address is no node, for instance a portal or a
	// proxy that answers in its place.
	ErrInBetween = errors.New("something between answers in its place, as a portal or a proxy does")
)

// Explainer puts the library's errors in words.
type Explainer struct {
	// Keyed reports whether this node's network has a key.
	Keyed bool
	// Name returns the name of a saved peer, or nothing.
	Name func(peer.ID) string
	// Hint returns what a person of this program does next about an error, to be put behind its
	// words; or nothing.
	Hint func(error) string
	// Answered, if set, is called with each address at which another peer than the wanted one
	// answered.
	Answered func(peer.ID, multiaddr.Multiaddr)
}

// Explain makes one line of the errors of all attempts to reach p. The result matches
// ErrUnreachable or ErrOtherPeer, ErrClocks where that is the reason, and the errors themselves; it
// is nil without any.
func (x *Explainer) Explain(p peer.ID, errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	kind, all := ErrUnreachable, errors.Join(errs...)
	if _, other := errors.AsType[sec.ErrPeerIDMismatch](all); other {
		kind = ErrOtherPeer
	}
	var tried []string
	var clocks error
	for _, err := range each(errs) {
		var dial *swarm.DialError
		if name, ok := errors.AsType[*nameError](err); ok {
			tried = append(tried, fmt.Sprintf("%s (%s)", name.name, Plain(name.err)))
			continue
		}
		if !errors.As(err, &dial) || len(dial.DialErrors) == 0 {
			tried = append(tried, Plain(err))
			continue
		}
		for _, e := range dial.DialErrors {
			if clockError(e.Cause) != nil {
				clocks = ErrClocks
			}
			if mismatch, ok := errors.AsType[sec.ErrPeerIDMismatch](e.Cause); ok && x.Answered != nil {
				x.Answered(mismatch.Actual, e.Address)
			}
			tried = append(tried, fmt.Sprintf("%s (%s)", x.Place(e.Address), x.Words(e.Cause)))
		}
	}
	slices.Sort(tried)
	tried = slices.Compact(tried)
	return &dialError{
		text: fmt.Sprintf("connect to %s: %s: %s", p, kind, strings.Join(tried, ", ")),
		kind: kind, cause: errors.Join(clocks, all),
	}
}

// each returns errors with those of several attempts one by one.
func each(errs []error) (out []error) {
	for _, err := range errs {
		if several, ok := errors.AsType[failures](err); ok {
			out = append(out, each(several)...)
		} else {
			out = append(out, err)
		}
	}
	return out
}

// Place names an address; a circuit by its relay.
func (x *Explainer) Place(a multiaddr.Multiaddr) string {
	relay := route.RelayOf(a)
	if relay == "" {
		return a.String()
	}
	if name := x.Name(relay); name != "" {
		return "relay " + name
	}
	return "relay " + relay.String()
}

// Words are those of the usual causes why an address was no good.
func (x *Explainer) Words(err error) string {
	text := err.Error()
	proxy, proxied := errors.AsType[*transport.ProxyError](err)
	switch {
	case kindOf(err) == ErrClocks, kindOf(err) == ErrOtherPeer:
		return Plain(err)
	case proxied && errors.Is(proxy, ErrProxy):
		return proxy.Error() + x.Hint(ErrProxy)
	case proxied:
		return proxy.Error()
	case errors.Is(err, swarm.ErrGaterDisallowedConnection):
		return ErrDenied.Error() + x.Hint(ErrDenied)
	case turnedAway(err):
		return ErrTurnedAway.Error() + ": it does not take this machine for a member"
	case strings.Contains(text, noCircuit):
		return Plain(err)
	case x.Keyed && strings.Contains(text, securityFailed) && cutOff(err):
		return "it ended the connection before it said anything: it is crowded, or it has another network key, or none"
	case strings.Contains(text, securityFailed) && cutOff(err):
		return "it ended the connection before it said anything: it is crowded, or its network has a key" + x.Hint(ErrNetworkKey)
	case x.Keyed && strings.Contains(text, "negotiate"):
		return "it has another network key, or none"
	case strings.Contains(text, securityFailed) && late(err):
		return "it takes the connection and says nothing: it is stuck there or in between, or its network has a key" + x.Hint(ErrNetworkKey)
	case strings.Contains(text, securityFailed):
		return "it speaks another protocol; perhaps its network has a key" + x.Hint(ErrNetworkKey)
	}
	return Plain(err)
}

// kindOf returns the reason why an address was no good as a value; nil where it is just unreachable.
func kindOf(err error) error {
	if _, other := errors.AsType[sec.ErrPeerIDMismatch](err); other {
		return ErrOtherPeer
	}
	if clockError(err) != nil {
		return ErrClocks
	}
	if turnedAway(err) {
		return ErrTurnedAway
	}
	if errors.Is(err, ErrProxy) {
		return ErrProxy
	}
	return nil
}

// securityFailed is the library's text, and nothing but text, for a connection that ended in its
// handshake.
const securityFailed = "failed to negotiate security protocol"

// noCircuit is the text for a relay that opens no circuit, which is found out in the handshake with
// the peer at its other end.
const noCircuit = "error opening relay circuit"

// cutOff reports whether the other side ended the connection, as one does that has no room.
func cutOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// turnedAway reports whether a relay has reset our request because we are no member for it, see
// limits.Guard.
func turnedAway(err error) bool {
	reset, ok := errors.AsType[*network.StreamError](err)
	return ok && reset.Remote && reset.ErrorCode == network.StreamProtocolViolation
}

// Errorf returns an error in words of this program, which matches kind.
func Errorf(kind error, format string, args ...any) error {
	return &dialError{text: fmt.Sprintf(format, args...), kind: kind}
}

// dialError has a short text and keeps the long cause for errors.Is and As.
type dialError struct {
	text        string
	kind, cause error
}

func (e *dialError) Error() string   { return e.text }
func (e *dialError) Unwrap() []error { return []error{e.kind, e.cause} }
