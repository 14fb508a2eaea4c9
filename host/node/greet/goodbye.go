package greet

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/seed-b490fa12/swarm/streams"
)

// DisconnectCode says why a connection is closed.
type DisconnectCode int

// The reasons to disconnect. The numbers are on the wire.
const (
	DisconnectRequested DisconnectCode = iota + 1
	DisconnectNetworkError
	DisconnectProtocolError
	DisconnectUselessPeer
	DisconnectTooManyPeers
	DisconnectAlreadyConnected
	DisconnectIncompatibleVersion
	DisconnectInvalidIdentity
	DisconnectShuttingDown
	DisconnectUnexpectedIdentity
	DisconnectSelf
	DisconnectIdleTimeout
	DisconnectRevoked
	DisconnectSubprotocolError
)

var disconnectWords = map[DisconnectCode]string{
	DisconnectRequested:           "requested",
	DisconnectNetworkError:        "network error",
	DisconnectProtocolError:       "protocol error",
	DisconnectUselessPeer:         "useless peer",
	DisconnectTooManyPeers:        "too many peers",
	DisconnectAlreadyConnected:    "already connected",
	DisconnectIncompatibleVersion: "incompatible version",
	DisconnectInvalidIdentity:     "invalid identity",
	DisconnectShuttingDown:        "shutting down",
	DisconnectUnexpectedIdentity:  "unexpected identity",
	DisconnectSelf:                "self",
	DisconnectIdleTimeout:         "idle timeout",
	DisconnectRevoked:             "revoked",
	DisconnectSubprotocolError:    "subprotocol error",
}

// String returns the reason in words.
func (c DisconnectCode) String() string {
	if w, ok := disconnectWords[c]; ok {
		return w
	}
	return fmt.Sprintf("reason %d", int(c))
}

// connCodeBase keeps our close codes apart from libp2p's, which begin at 0x1000.
const connCodeBase = 0x53570000

// ConnCode returns the code that a connection is closed with for this reason.
func (c DisconnectCode) ConnCode() network.ConnErrorCode {
	return connCodeBase + network.ConnErrorCode(c)
}

// Closed returns what one of our close codes means for the requests on the connection: see
// streams.Config.
func Closed(code network.ConnErrorCode) (streams.Code, string) {
	if code <= connCodeBase || code > DisconnectSubprotocolError.ConnCode() {
		return 0, ""
	}
	c := DisconnectCode(code - connCodeBase)
	if c == DisconnectRevoked {
		return streams.CodeForbidden, c.String()
	}
	return 0, c.String()
}

// Goodbye is the payload of a disconnect.
type Goodbye struct {
	Code   DisconnectCode `json:"code"`
	Reason string         `json:"reason"`
}

// Validate checks that the reason is one of the enum.
func (g Goodbye) Validate() error {
	if _, ok := disconnectWords[g.Code]; !ok {
		return fmt.Errorf("disconnect code %d: want %d to %d", g.Code, DisconnectRequested, DisconnectSubprotocolError)
	}
	if len(g.Reason) > MaxReason {
		return fmt.Errorf("reason: want %d bytes at most", MaxReason)
	}
	return nil
}
