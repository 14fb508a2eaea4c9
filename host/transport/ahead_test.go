package transport_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"go.uber.org/fx"

	"github.com/seed-b490fa12/swarm/host/transport"
)

// proposal is what a dialler says to propose Noise.
const proposal = "\x13/multistream/1.0.0\n\x07/noise\n"

// dialled returns the first bytes that a node with these options sends to an address, of at most
// most, while nobody answers for wait; then they are answered.
func dialled(t *testing.T, most int, answer string, options ...libp2p.Option) (sent []byte, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan []byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(time.Second))
		b := make([]byte, most)
		n, _ := io.ReadFull(c, b)
		got <- b[:n]
		c.Write([]byte(answer))
		io.Copy(io.Discard, c)
	}()
	h, err := libp2p.New(append(options, libp2p.NoListenAddrs, libp2p.DisableRelay(),
		libp2p.WithFxOption(fx.Decorate(fx.Annotate(transport.ProposeAhead, fx.ParamTags("", `name:"security"`)))))...)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	at, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err = h.Connect(ctx, peer.AddrInfo{ID: test.RandPeerIDFatal(t), Addrs: []multiaddr.Multiaddr{at}})
	return <-got, err
}

// TestProposeAhead: the first message of Noise, of 34 bytes, does not wait until the other side has
// agreed to Noise.
func TestProposeAhead(t *testing.T) {
	noiseAlone := libp2p.Security(noise.ID, noise.New)
	size := len(proposal) + 34
	sent, err := dialled(t, size, "\x13/multistream/1.0.0\n\x03na\n", noiseAlone)
	if len(sent) != size || !bytes.HasPrefix(sent, []byte(proposal)) {
		t.Errorf("sent %q", sent)
	}
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("protocols not supported: [/noise]")) {
		t.Errorf("where the other side does not agree: %v", err)
	}
	if sent, _ := dialled(t, size, "", noiseAlone, libp2p.Security(libp2ptls.ID, libp2ptls.New)); string(sent) != proposal {
		t.Errorf("with two kinds: sent %q, want the proposal alone", sent)
	}
}
