package host

// A repair of github.com/libp2p/go-libp2p v0.51.0: its certificates begin an hour before the program
// started, and each side judges the other's by its own clock. Upstream:
// https://github.com/libp2p/go-libp2p-quic-transport/pull/29. timelessCertificate may go when
// TestLibraryCertificatesHaveABeginning fails.

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
)

// streamSecurity secures connections over TCP and WebSocket by Noise alone. A peer is proven by its
// key; TLS would also have each side judge the other's certificate by its own clock. A node that
// still speaks both offers Noise second, and gets it.
func streamSecurity() libp2p.Option { return libp2p.Security(noise.ID, noise.New) }

// quicTransport is QUIC, which has TLS built in, with a certificate that is valid whatever
// anybody's clock says.
func quicTransport() (libp2p.Option, error) {
	template, err := timelessCertificate()
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	timeless := libp2pquic.WithTLSIdentityOption(libp2ptls.WithCertTemplate(template))
	return libp2p.Transport(libp2pquic.NewTransport, timeless), nil
}

// timelessCertificate is a template like the library's, but for its times: no clock is before 1970,
// and the year 9999 is what RFC 5280, section 4.1.2.5, has for a certificate without an end. It is
// good for one identity, because the library adds the key to it.
func timelessCertificate() (*x509.Certificate, error) {
	most := big.NewInt(1 << 62)
	serial, err := rand.Int(rand.Reader, most)
	if err != nil {
		return nil, err
	}
	subject, err := rand.Int(rand.Reader, most)
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{SerialNumber: subject.String()},
		NotBefore:    time.Unix(0, 0).UTC(),
		NotAfter:     time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC),
	}, nil
}
