package trust

import (
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Reasons to refuse a credential, a statement or a request, for errors.Is. None of them goes away
// by trying again.
var (
	// ErrInvalid: the bytes are cut, altered, too long or signed wrongly.
	ErrInvalid = errors.New("not a valid signed paper")
	// ErrOtherFleet: signed under another fleet's root.
	ErrOtherFleet = errors.New("belongs to another fleet")
	// ErrOtherPeer: the grant is good, but it is of another peer than the one that shows it.
	ErrOtherPeer = errors.New("belongs to another peer")
	// ErrExpired: the grant's time is over; an issuer has to renew it.
	ErrExpired = errors.New("expired")
	// ErrIssuer: the issuer signed more than it may give.
	ErrIssuer = errors.New("beyond the rights of its issuer")
	// ErrDepth: the signer is neither the root nor an issuer that the root named.
	ErrDepth = errors.New("the chain of issuers is too long")
	// ErrRevokedLine: the grant's line was revoked.
	ErrRevokedLine = errors.New("the grant was revoked")
	// ErrRevokedPeer: the peer itself was revoked.
	ErrRevokedPeer = errors.New("the peer was revoked")
	// ErrSignerEnded: the issuer of the grant was revoked, its own grant has ended, or it is not
	// known here; the root or another issuer has to sign anew.
	ErrSignerEnded = errors.New("its signer has ended")
	// ErrSponsorEnded: the member whose ticket brought the peer in no longer holds these rights.
	ErrSponsorEnded = errors.New("its sponsor has ended")
	// ErrNotAsked: an issuer that is not for all signed for a peer that never asked it.
	ErrNotAsked = errors.New("the peer has not asked this issuer")
	// ErrStranger: the peer has shown no grant.
	ErrStranger = errors.New("not a member")
	// ErrVerb: the member's grant lacks the verb.
	ErrVerb = errors.New("the grant does not have this right")
	// ErrSelector: the member's grant is for other machines.
	ErrSelector = errors.New("the grant is for other machines")
	// ErrOwnGrant: this node's own grant is over, so it takes no commands.
	ErrOwnGrant = errors.New("this machine's own grant has ended")
	// ErrOutranked: another grant of the peer counts in place of the new one.
	ErrOutranked = errors.New("another grant counts")
	// ErrDamaged: a file of the membership is damaged, and nothing may be decided by what is
	// left. It heals at the next contact with a member that has what is missing.
	ErrDamaged = errors.New("this machine's memory of revocations is damaged")
	// ErrNotSaved: a statement counts, but is not on the disk yet. It is written as soon as the
	// disk takes it.
	ErrNotSaved = errors.New("the statement could not be saved")
	// ErrFull: a bounded table has no room.
	ErrFull = errors.New("no room")
)

// Need is what has to be done before something else.
type Need string

// What may have to be done first.
const (
	NeedRootKey   Need = "root key"  // the root key signs that
	NeedLift      Need = "lift"      // the root takes back the revocation of Peer
	NeedReinstate Need = "reinstate" // the root brings Peer, an issuer that it ended, back
	NeedEnd       Need = "end"       // the root ends Peer, an issuer
	NeedRevoke    Need = "revoke"    // the grant is revoked instead
	NeedIssuer    Need = "issuer"    // Peer gets the right to let others in
	NeedPeerID    Need = "peer ID"   // the invitation names the one peer that may use it
	NeedGrant     Need = "grant"     // a grant of Peer is known here, as from a member that has it
	NeedSingle    Need = "single"    // one of the two machines that run with one identity gets another
	NeedRejoin    Need = "rejoin"    // this machine leaves the fleet, and joins again with a new ticket
)

// Blocked is an error that comes until something else has been done.
type Blocked struct {
	Err  error
	Need Need
	Peer peer.ID // the one that it is about, if any
	Name string  // what that is called
}

func (b *Blocked) Error() string { return b.Err.Error() }

func (b *Blocked) Unwrap() error { return b.Err }
