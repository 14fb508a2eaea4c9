package trust

import "errors"

// Reasons to refuse a credential, a record or a request. They are matched with
// errors.Is; none of them goes away by trying again, except ErrNotYetValid.
var (
	// ErrInvalid: the bytes are cut, altered, too long or signed wrongly.
	ErrInvalid = errors.New("not a valid signed paper")
	// ErrOtherFleet: signed under another fleet's root.
	ErrOtherFleet = errors.New("belongs to another fleet")
	// ErrOtherPeer: a good grant, but of another peer than the one that shows it.
	ErrOtherPeer = errors.New("belongs to another peer")
	// ErrNotYetValid: it starts later, or our clock is behind.
	ErrNotYetValid = errors.New("not yet valid")
	// ErrExpired: its time is over; the peer must renew it.
	ErrExpired = errors.New("expired")
	// ErrIssuer: the issuer signed more than it may give.
	ErrIssuer = errors.New("beyond the rights of its issuer")
	// ErrDepth: a grant by somebody who is neither the root nor named by it.
	ErrDepth = errors.New("the chain of issuers is too long")
	// ErrRevokedSerial: this grant was revoked.
	ErrRevokedSerial = errors.New("the grant was revoked")
	// ErrRevokedPeer: the peer itself was revoked.
	ErrRevokedPeer = errors.New("the peer was revoked")
	// ErrRevokedIssuer: the one who signed the grant was revoked; the root or
	// another issuer must give a new one.
	ErrRevokedIssuer = errors.New("its issuer was revoked")
	// ErrStranger: the peer has shown no grant.
	ErrStranger = errors.New("not a member")
	// ErrVerb: a member, whose grant lacks the verb.
	ErrVerb = errors.New("the grant does not have this right")
	// ErrSelector: a member, whose grant is for other machines.
	ErrSelector = errors.New("the grant is for other machines")
	// ErrOwnGrant: this node's own grant is over, so it takes no commands.
	ErrOwnGrant = errors.New("this machine's own grant has ended")
	// ErrOlder: a newer record of the signer is known, or another one with the
	// same number.
	ErrOlder = errors.New("a newer record is known")
	// ErrNotSaved: a record counts, and is not on the disk yet. It is written as soon
	// as that works.
	ErrNotSaved = errors.New("the record could not be saved")
	// ErrFull: a bounded table has no room.
	ErrFull = errors.New("no room")
)
