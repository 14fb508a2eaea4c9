package host

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/quic-go/quic-go"
)

// badCertificate is what QUIC says when one side does not take the certificate of the other: 0x100 and the alert of TLS,
// RFC 9001, section 4.8.
const badCertificate = quic.TransportErrorCode(0x100 + 42)

// ErrClocks comes when a peer cannot be reached because a certificate is not valid by the clock of the other side: one of the
// two clocks is wrong. Set it, and retry. Only programs older than this one have such certificates.
var ErrClocks = errors.New("the clocks differ")

// clockError makes of the refusal of a certificate for its times an ErrClocks with those times, and nil of all else.
func clockError(err error) error {
	refused, ok := errors.AsType[*quic.TransportError](err)
	if !ok || refused.ErrorCode != badCertificate {
		return nil
	}
	if _, other := errors.AsType[sec.ErrPeerIDMismatch](err); other {
		return nil // which QUIC tells in the same way
	}
	if refused.Remote {
		return fmt.Errorf("%w: by its clock this machine's certificate is not valid; set the clock that is wrong", ErrClocks)
	}
	// The library (go-libp2p v0.51, p2p/security/tls) keeps of the error of x509 only the text.
	_, times, ok := strings.Cut(refused.Error(), x509.CertificateInvalidError{Reason: x509.Expired}.Error())
	if !ok {
		return nil
	}
	return fmt.Errorf("%w: here the %s, which its certificate names; set the clock that is wrong", ErrClocks, times)
}

// kindOfFailure says why an address was no good, as far as a caller can act on it.
func kindOfFailure(err error) error {
	if _, other := errors.AsType[sec.ErrPeerIDMismatch](err); other {
		return ErrOtherPeer
	}
	if clockError(err) != nil {
		return ErrClocks
	}
	if turnedAway(err) {
		return ErrTurnedAway
	}
	return nil
}
