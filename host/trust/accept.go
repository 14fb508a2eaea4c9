package trust

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

const maxAcceptBytes = 1 << 10

func acceptKind() kind { return kind{"swarm-accept", "/swarm/accept/1", maxAcceptBytes} }

// acceptance is what a machine signs once, when it joins: that it asked the issuer that began the
// line to let it in.
type acceptance struct {
	Fleet FleetID `json:"fleet"`
	Line  Line    `json:"line"`
}

// Accept signs, with the key of the machine that joins, that it asks line.By for a grant.
func (f FleetID) Accept(line Line, key crypto.PrivKey) ([]byte, error) {
	return seal(acceptKind(), &acceptance{f, line}, key)
}

func (f FleetID) checkAccept(g *Grant) error {
	o, err := open[acceptance](acceptKind(), g.Accept)
	if err != nil {
		return err
	}
	if o.signer != g.Subject || o.value.Fleet != f || o.value.Line != g.Line {
		return fmt.Errorf("%w: the subject has accepted something else", ErrInvalid)
	}
	return nil
}

// TicketLine returns the line that a ticket's redeemer begins for a joiner. Both ends compute it
// beforehand, so the joiner's acceptance travels with its request. It differs for each joiner, so
// that no joiner gets into the line of another.
func TicketLine(f FleetID, redeemer, joiner peer.ID, ticket string) Line {
	sum := sha256.Sum256(fmt.Appendf(nil, "swarm-line %s %s %s %s", f, redeemer, joiner, ticket))
	return Line{By: redeemer, Serial: base32.StdEncoding.EncodeToString(sum[:])[:serialLength]}
}
