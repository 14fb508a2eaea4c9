package greet

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/seed-b490fa12/swarm/streams"
)

// DisconnectCode says why a connection is closed.
type DisconnectCode int

// The reasons to disconnect. The numbers are on the wire; 6, 10 and 11 are reserved.
const (
	// DisconnectRequested: the application or a refused handshake asks for it.
	DisconnectRequested     DisconnectCode = 1
	DisconnectNetworkError  DisconnectCode = 2 // the peer did not answer on the connection
	DisconnectProtocolError DisconnectCode = 3 // the peer's answer to a handshake is none
	DisconnectUselessPeer   DisconnectCode = 4 // no member, and its time is over
	DisconnectTooManyPeers  DisconnectCode = 5 // a stranger makes room for the next one
	// DisconnectIncompatibleVersion: the major versions differ, or it is too old for the fleet.
	DisconnectIncompatibleVersion DisconnectCode = 7
	// DisconnectInvalidIdentity: it is no member, because the grant that it has shown does not
	// count.
	DisconnectInvalidIdentity  DisconnectCode = 8
	DisconnectShuttingDown     DisconnectCode = 9  // the node closes
	DisconnectIdleTimeout      DisconnectCode = 12 // nothing is under way, and others are enough
	DisconnectRevoked          DisconnectCode = 13 // it was revoked
	DisconnectSubprotocolError DisconnectCode = 14 // for families of an application's own
)

const maxDisconnectCode = DisconnectSubprotocolError

var disconnectWords = [maxDisconnectCode + 1]string{
	1: "requested", 2: "network error", 3: "protocol error", 4: "useless peer", 5: "too many peers",
	6: "already connected", 7: "incompatible version", 8: "invalid identity", 9: "shutting down",
	10: "unexpected identity", 11: "self", 12: "idle timeout", 13: "revoked", 14: "subprotocol error",
}

func (c DisconnectCode) known() bool { return c >= 1 && c <= maxDisconnectCode }

// String returns the reason in words.
func (c DisconnectCode) String() string {
	if c.known() {
		return disconnectWords[c]
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
	c := DisconnectCode(code) - connCodeBase
	switch {
	case !c.known():
		return 0, ""
	case c == DisconnectRevoked:
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
	if !g.Code.known() {
		return fmt.Errorf("disconnect code %d: want 1 to %d", g.Code, maxDisconnectCode)
	}
	if len(g.Reason) > MaxReason {
		return fmt.Errorf("reason: want %d bytes at most", MaxReason)
	}
	return nil
}
