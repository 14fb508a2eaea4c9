package dial

// A repair of github.com/libp2p/go-libp2p v0.51.0: of the reason why a certificate is refused it
// keeps the text alone, without the error of x509. Upstream:
// https://github.com/libp2p/go-libp2p-tls/pull/57. clockError may use errors.As when
// TestOlderCertificate passes with it.

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/quic-go/quic-go"
)

// badCertificate is what QUIC reports when one side refuses the certificate of the other: 0x100 and
// the alert of TLS, RFC 9001, section 4.8.
const badCertificate = quic.TransportErrorCode(0x100 + 42)

// clockError returns an ErrClocks with the times of a certificate that was refused for them; nil for
// any other error.
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
