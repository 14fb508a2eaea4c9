package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-yamux/v5"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"
	"github.com/quic-go/quic-go"

	"github.com/seed-b490fa12/swarm/host/names"
)

// libraryErrors are errors as libraries and the kernel return them, with a part of our words.
func libraryErrors() map[error]string {
	return map[error]string{
		&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}: "connection refused",
		&net.OpError{Op: "write", Net: "udp", Err: os.NewSyscallError("sendmsg", syscall.ENETUNREACH)}: "no route there",
		&net.OpError{Op: "write", Net: "udp", Err: os.NewSyscallError("sendmsg", syscall.EPERM)}:       "forbids it",
		&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}:                              "no answer",
		&net.DNSError{Err: "no such host", Name: "relay.example", IsNotFound: true}:                    "no such name",
		&net.DNSError{Err: "server misbehaving", Name: "relay.example", Server: "192.0.2.53:53"}:       "the name server does not answer",
		names.ErrServer:                    "the name server does not answer",
		context.DeadlineExceeded:           "no answer",
		swarm.ErrDialBackoff:               "a moment ago",
		swarm.ErrDialToSelf:                "this machine itself",
		swarm.ErrDialRefusedBlackHole:      "lately",
		swarm.ErrGaterDisallowedConnection: "own settings forbid it",
		swarm.ErrNoTransport:               "cannot dial",
		swarm.ErrNoGoodAddresses:           "can be dialled from here",
		network.ErrResourceLimitExceeded:   "its own limit",
		network.ErrReset:                   "it ended the connection",
		&network.ConnError{Remote: true, ErrorCode: network.ConnRateLimited}:      "no more connections from here",
		&network.StreamError{Remote: true, ErrorCode: network.StreamShutdown}:     "shutting down",
		&quic.TransportError{Remote: true, ErrorCode: quic.ConnectionRefused}:     "no room",
		&quic.TransportError{ErrorCode: 0x100 + 40, ErrorMessage: "CRYPTO_ERROR"}: "the handshake over QUIC failed",
		&quic.TransportError{ErrorCode: quic.ProtocolViolation}:                   "the connection over QUIC failed",
		&quic.IdleTimeoutError{}:        "no answer",
		&quic.HandshakeTimeoutError{}:   "no answer",
		&quic.StatelessResetError{}:     "started anew",
		&quic.VersionNegotiationError{}: "another version of QUIC",
		yamux.ErrTimeout:                "no answer",
		yamux.ErrSessionShutdown:        "connection is closed",
		tls.AlertError(40):              "certificate",
		tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}: "in its place",
		multistream.ErrTooLarge:                                                                  "in its place",
		errors.New("message did not have trailing newline"):                                      "in its place",
		errors.New("websocket: bad handshake"):                                                   "in its place",
		errors.New("error opening relay circuit: NO_RESERVATION (204)"):                          "not connected there",
		errors.New("error opening relay circuit: CONNECTION_FAILED (203)"):                       "the relay cannot connect with it",
		errors.New("error opening relay circuit: RESOURCE_LIMIT_EXCEEDED (201)"):                 "no room",
		errors.New("concurrent active dial through the same relay failed with a protocol error"): "another attempt",
		errors.New("rate limit exceeded"):                                                        "too many attempts",
		errors.New("sendmsg: network is unreachable"):                                            "no route there",
		errors.New("a text that nobody has ever seen (0x2a)"):                                    "no words for",
		io.ErrUnexpectedEOF: "ended the connection",
	}
}

// What libraries and the kernel say reaches nobody: it is put in other words, also from below other
// errors.
func TestPlain(t *testing.T) {
	for err, want := range libraryErrors() {
		for _, wrapped := range []error{err, fmt.Errorf("failed to RAW: %w", err), errors.Join(errors.New("RAW"), err)} {
			if got := Plain(wrapped); !strings.Contains(got, want) || strings.Contains(got, "RAW") {
				t.Errorf("%T %v: got %q, want %q", err, wrapped, got, want)
			}
		}
	}
	if got := Plain(multistream.ErrNotSupported[protocol.ID]{Protos: []protocol.ID{"/noise"}}); !strings.Contains(got, "same protocol") {
		t.Errorf("protocols: %q", got)
	}
	if got := Plain(fmt.Errorf("RAW: %w", &dialError{text: "our words"})); got != "our words" {
		t.Errorf("our own error: %q", got)
	}
}

// FuzzExplain gives the explainer texts of libraries, wherever they may stand: not one letter of them
// comes through.
func FuzzExplain(f *testing.F) {
	for err := range libraryErrors() {
		f.Add(err.Error())
	}
	addr := multiaddr.StringCast("/ip4/192.0.2.1/tcp/4747")
	x := &Explainer{Name: func(peer.ID) string { return "" }, Hint: func(error) string { return "" }}
	f.Fuzz(func(t *testing.T, text string) {
		const mark = "\u2603"
		raw := errors.New(mark + text + mark)
		for _, errs := range [][]error{
			{raw},
			{fmt.Errorf("failed to negotiate security protocol: %w", raw)},
			{&swarm.DialError{Peer: "p", Cause: raw}},
			{&swarm.DialError{Peer: "p", DialErrors: []swarm.TransportError{{Address: addr, Cause: raw}}}},
			{&nameError{addr, raw}},
			{&net.DNSError{Err: raw.Error(), Name: raw.Error()}},
			{&quic.TransportError{ErrorCode: 7, ErrorMessage: raw.Error()}},
			{&quic.ApplicationError{Remote: true, ErrorCode: 7, ErrorMessage: raw.Error()}},
			{&network.ConnError{Remote: true, ErrorCode: 7, TransportError: raw}},
		} {
			if got := x.Explain("p", errs).Error(); strings.Contains(got, mark) {
				t.Errorf("%T %q came through: %s", errs[0], text, got)
			}
		}
	})
}
