package dial

// A repair of github.com/libp2p/go-libp2p v0.51.0: of many faults it keeps nothing but a text, as of
// the answers of relays (p2p/protocol/circuitv2/client) and of what went wrong before a connection
// was secure (p2p/net/upgrader). No issue upstream was found. A row of ofText may go when its library
// returns a value.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multistream"
	"github.com/quic-go/quic-go"

	"github.com/seed-b490fa12/swarm/host/names"
	"github.com/seed-b490fa12/swarm/host/transport"
)

// noWords is said of an error that nobody has put in words yet. The log has its text.
const noWords = "the attempt failed for a reason that this program has no words for; the log of level debug has it"

// Plain puts an error of a library, or of the kernel, in words of this program. The text of a
// library reaches nobody: what is not known here is said to be so. An error with a method Words
// speaks for itself.
func Plain(err error) string {
	if err == nil {
		return ""
	}
	if own, ok := errors.AsType[*dialError](err); ok {
		return own.text
	}
	var safe interface{ Words() string }
	if errors.As(err, &safe) {
		return safe.Words()
	}
	for _, find := range []func(error) string{ofType, ofValue, ofText} {
		if words := find(err); words != "" {
			return words
		}
	}
	return noWords
}

// Detail returns what the libraries say of an error that is in words of this program: for a search,
// not for a person. It is empty where there is no more to say.
func Detail(err error) string {
	own, ok := errors.AsType[*dialError](err)
	if !ok || own.cause == nil {
		return ""
	}
	return own.cause.Error()
}

// ofType is for errors that are known by their types.
func ofType(err error) string {
	if mismatch, ok := errors.AsType[sec.ErrPeerIDMismatch](err); ok {
		return "peer " + mismatch.Actual.String() + " is there"
	}
	if clocks := clockError(err); clocks != nil {
		return clocks.Error()
	}
	if proxy, ok := errors.AsType[*transport.ProxyError](err); ok {
		return proxy.Error()
	}
	if e, ok := errors.AsType[*network.StreamError](err); ok && e.Remote {
		return endWords(uint32(e.ErrorCode) - 1) // the codes of streams are one more
	}
	if e, ok := errors.AsType[*network.ConnError](err); ok && e.Remote {
		return endWords(uint32(e.ErrorCode))
	}
	if e, ok := errors.AsType[*quic.ApplicationError](err); ok && e.Remote {
		return endWords(uint32(e.ErrorCode))
	}
	if e, ok := errors.AsType[*quic.TransportError](err); ok {
		switch {
		case e.ErrorCode == quic.ConnectionRefused:
			return "it refuses connections: it has no room"
		case e.ErrorCode.IsCryptoError():
			return "the handshake over QUIC failed"
		}
		return "the connection over QUIC failed"
	}
	switch {
	case errors.As(err, new(*quic.StatelessResetError)):
		return "it was started anew"
	case errors.As(err, new(*quic.VersionNegotiationError)):
		return "it speaks another version of QUIC"
	case errors.As(err, new(*quic.IdleTimeoutError)), errors.As(err, new(*quic.HandshakeTimeoutError)):
		return "no answer"
	case errors.As(err, new(multistream.ErrNotSupported[protocol.ID])), errors.As(err, new(multistream.ErrNotSupported[string])):
		return "it does not speak the same protocol"
	case errors.As(err, new(tls.RecordHeaderError)):
		return ErrInBetween.Error()
	case errors.As(err, new(tls.AlertError)), errors.As(err, new(*tls.CertificateVerificationError)),
		errors.As(err, new(x509.CertificateInvalidError)), errors.As(err, new(x509.UnknownAuthorityError)),
		errors.As(err, new(x509.HostnameError)):
		return "its certificate is not taken"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return names.ErrUnknown.Error()
		}
		return names.ErrServer.Error()
	}
	return ""
}

// endWords are those of libp2p's codes by which the other side ends a connection.
func endWords(code uint32) string {
	switch network.ConnErrorCode(code) {
	case network.ConnResourceLimitExceeded:
		return "it has no room for more connections"
	case network.ConnRateLimited:
		return "it takes no more connections from here at a time"
	case network.ConnGated:
		return "it does not let this machine in"
	case network.ConnShutdown:
		return "it is shutting down"
	case network.ConnProtocolNegotiationFailed:
		return "it does not speak the same protocol"
	case network.ConnSupplanted, network.ConnGarbageCollected:
		return "it closed the connection for another one"
	}
	return "it ended the connection"
}

// row is an error and its words.
type row struct {
	err   error
	words string
}

// ofValue is for errors that are values.
func ofValue(err error) string {
	for _, r := range []row{
		{names.ErrServer, names.ErrServer.Error()},
		{names.ErrUnknown, names.ErrUnknown.Error()},
		{ErrNoAddress, ErrNoAddress.Error()},
		{swarm.ErrGaterDisallowedConnection, ErrDenied.Error()},
		{swarm.ErrAddrFiltered, ErrDenied.Error()},
		{swarm.ErrDialBackoff, "it did not answer a moment ago"},
		{swarm.ErrDialRefusedBlackHole, "addresses of this kind have not answered from here lately"},
		{swarm.ErrDialToSelf, "that is this machine itself"},
		{swarm.ErrNoTransport, "this program cannot dial addresses of this kind"},
		{swarm.ErrNoAddresses, ErrNoAddress.Error()},
		{network.ErrNoRemoteAddrs, ErrNoAddress.Error()},
		{swarm.ErrNoGoodAddresses, "no address of it can be dialled from here"},
		{peer.ErrInvalidAddr, "the address is none"},
		{swarm.ErrSwarmClosed, "this program is ending"},
		{swarm.ErrConnClosed, "the connection is closed"},
		{network.ErrNoConn, "it is not connected"},
		{network.ErrResourceLimitExceeded, "this program is at its own limit of connections"},
		{network.ErrResourceScopeClosed, "the connection is closed"},
		{multistream.ErrIncorrectVersion, "it speaks another protocol"},
		{multistream.ErrTooLarge, ErrInBetween.Error()},
		{syscall.ECONNREFUSED, "connection refused"},
		{errNoRoute, ErrNoRoute.Error()},
		{syscall.ENETDOWN, "the network of this machine is down"},
		{syscall.EHOSTUNREACH, "no route to host"},
		{syscall.EHOSTDOWN, "no such machine in that network"},
		{syscall.EADDRNOTAVAIL, "this machine has no address to dial that from"},
		{syscall.EADDRINUSE, "the port of this machine is taken"},
		{syscall.EAFNOSUPPORT, ErrNoRoute.Error()},
		{syscall.EINVAL, "this machine cannot dial that address"},
		{syscall.EMSGSIZE, "the packets are too large for the network"},
		{syscall.EMFILE, "this program has too many files open"},
		{syscall.ENFILE, "this machine has too many files open"},
		{syscall.ENOBUFS, "this machine has no memory for network"},
		{fs.ErrPermission, "this machine forbids it, as by its firewall"},
		{syscall.ETIMEDOUT, "no answer"},
		{os.ErrDeadlineExceeded, "no answer"},
		{context.DeadlineExceeded, "no answer"},
		{context.Canceled, "it was given up"},
		{network.ErrReset, "it ended the connection"},
		{syscall.ECONNRESET, "it ended the connection"},
		{syscall.ECONNABORTED, "the connection was cut"},
		{syscall.EPIPE, "it ended the connection"},
		{io.EOF, "it ended the connection"},
		{io.ErrUnexpectedEOF, "it ended the connection"},
		{net.ErrClosed, "the connection is closed"},
		{swarm.ErrAllDialsFailed, "none of its addresses answers"},
	} {
		if errors.Is(err, r.err) {
			return r.words
		}
	}
	if late(err) {
		return "no answer"
	}
	return ""
}

// late reports whether nothing came in time.
func late(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// ofText is for errors that their libraries make of nothing but text.
func ofText(err error) string {
	text := err.Error()
	for _, r := range []struct{ part, words string }{
		{"NO_RESERVATION", "it is not connected there"},
		{"PERMISSION_DENIED", "the relay does not let us through"},
		{"CONNECTION_FAILED", "the relay cannot connect with it"},
		{"RESOURCE_LIMIT_EXCEEDED", "the relay has no room for more"},
		{"RESERVATION_REFUSED", "the relay keeps no place for this machine"},
		{"MALFORMED_MESSAGE", "the relay speaks another protocol"},
		{"UNEXPECTED_MESSAGE", "the relay speaks another protocol"},
		{"concurrent active dial", "another attempt by way of the same relay failed just now"},
		{"error opening hop stream to relay", "the relay takes no request"},
		{"rate limit exceeded", "too many attempts at a time"},
		{"bad handshake", ErrInBetween.Error()}, // of WebSocket
		{"message did not have trailing newline", ErrInBetween.Error()},
		{"first record does not look like a TLS handshake", ErrInBetween.Error()},
		{"dial to self attempted", "that is this machine itself"},
		{"failed to negotiate stream multiplexer", "the connection ended in its handshake"},
		{securityFailed, "it speaks another protocol"},
		{"network is unreachable", ErrNoRoute.Error()},
		{"no route to host", "no route to host"},
		{"connection refused", "connection refused"},
		{"dial backoff", "it did not answer a moment ago"},
		{"i/o timeout", "no answer"},
		{"deadline exceeded", "no answer"},
		{"timed out", "no answer"},
		{"stream reset", "it ended the connection"},
		{"connection reset", "it ended the connection"},
		{"broken pipe", "it ended the connection"},
		{"use of closed network connection", "the connection is closed"},
		{"session shutdown", "the connection is closed"},
		{"go away", "the connection is closed"},
	} {
		if strings.Contains(text, r.part) {
			return r.words
		}
	}
	return ""
}
