package transport

import (
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"go.uber.org/fx"
)

// What the kernel and QUIC know of the line of a connection that was dialled is there.
func TestLine(t *testing.T) {
	for _, way := range []string{"/tcp/0", "/udp/0/quic-v1"} {
		t.Run(way, func(t *testing.T) {
			ours := []libp2p.Option{
				libp2p.DisableMetrics(), libp2p.Security(noise.ID, noise.New), libp2p.DefaultTransports,
				libp2p.WithFxOption(fx.Decorate(fx.Annotate(ProposeAhead, fx.ParamTags("", `name:"security"`)))),
			}
			server, err := libp2p.New(append(ours, libp2p.ListenAddrStrings("/ip4/127.0.0.1"+way))...)
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			client, err := libp2p.New(append(ours, libp2p.NoListenAddrs)...)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.Connect(t.Context(), peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}); err != nil {
				t.Fatal(err)
			}
			queued, resent, known := Line(client.Network().ConnsToPeer(server.ID())[0])
			if want := way != "/tcp/0" || runtime.GOOS == "linux"; known != want {
				t.Fatalf("known: %v, want %v", known, want)
			}
			if queued < 0 || queued > time.Minute || resent > 1000 {
				t.Errorf("%v are queued, %d were sent again", queued, resent)
			}
		})
	}
}
