package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/multiformats/go-multiaddr"
)

// Certificate returns the certificate to show to one who dials, as tls.Config.GetCertificate does.
type Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

// coatOf is TLS for one who dials an address. It is only a coat, for networks that let nothing else
// pass: no certificate is verified, and no date looked at. That is safe because nothing is believed
// that comes by TLS. Noise runs inside, and there each side proves the key that its peer ID is made
// of; whoever ends the TLS in between can read and change no more than on bare TCP, which is
// nothing. And it is needed: machines of a fleet have no names that a certificate authority knows,
// and a wrong clock must not decide.
//
// The key exchange has no post-quantum share, of which Noise inside has none either: with it the
// first message takes two packets, which some firewalls do not put together.
func coatOf(a multiaddr.Multiaddr) *tls.Config {
	return &tls.Config{
		ServerName:         serverName(a),
		InsecureSkipVerify: true,
		NextProtos:         []string{"http/1.1"},
		CurvePreferences:   []tls.CurveID{tls.X25519, tls.CurveP256},
	}
}

// Timeless is a template for a certificate that is valid whatever anybody's clock says: no clock is
// before 1970, and the year 9999 is what RFC 5280, section 4.1.2.5, has for a certificate without an
// end.
func Timeless() (*x509.Certificate, error) {
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

// SelfSigned makes a certificate for listening with TLS, with a key that lives as long as the
// process and says nothing of the node.
func SelfSigned() (Certificate, error) {
	template, err := Timeless()
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	made := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return made, nil }, nil
}
