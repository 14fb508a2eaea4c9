package host

// A repair of github.com/libp2p/go-libp2p v0.51.0: its certificates begin an hour before the program
// started, and each side judges the other's by its own clock. Upstream:
// https://github.com/libp2p/go-libp2p-quic-transport/pull/29. transport.Timeless may go there when
// TestLibraryCertificatesHaveABeginning fails.

import (
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"

	"github.com/seed-b490fa12/swarm/host/transport"
)

// streamSecurity secures connections over TCP and WebSocket by Noise alone. A peer is proven by its
// key; TLS would also have each side judge the other's certificate by its own clock. A node that
// still speaks both offers Noise second, and gets it.
func streamSecurity() libp2p.Option { return libp2p.Security(noise.ID, noise.New) }

// quicTransport is QUIC, which has TLS built in, with a certificate that is valid whatever
// anybody's clock says.
func quicTransport() (libp2p.Option, error) {
	template, err := transport.Timeless() // the library adds the key to it
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	timeless := libp2pquic.WithTLSIdentityOption(libp2ptls.WithCertTemplate(template))
	return libp2p.Transport(libp2pquic.NewTransport, timeless), nil
}
