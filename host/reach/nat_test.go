package reach

import (
	"encoding/binary"
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// peerNumber is a made-up peer ID.
func peerNumber(i int) peer.ID {
	return peer.ID(binary.BigEndian.AppendUint64([]byte{0, 36, 8, 1, 18, 32}, uint64(i)))
}

// said is a connection that this node has dialled.
type said struct {
	network.Conn
	peer peer.ID
	addr string
}

func (s said) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: network.DirOutbound}}
}
func (s said) RemotePeer() peer.ID                  { return s.peer }
func (s said) RemoteMultiaddr() multiaddr.Multiaddr { return multiaddr.StringCast(s.addr) }

func TestKindOfNAT(t *testing.T) {
	ours := []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/192.168.1.7/udp/4747/quic-v1"), multiaddr.StringCast("/ip4/16.9.0.1/tcp/4747")}
	const quic, tcp, lan = "/ip4/16.1.0.10/udp/4747/quic-v1", "/ip4/16.1.0.10/tcp/4747", "/ip4/192.168.1.9/udp/4747/quic-v1"
	type observed struct{ at, seen string }
	tests := []struct {
		name string
		by   []observed
		want NAT
	}{
		{"nobody", nil, Unknown},
		{"one", []observed{{quic, "/ip4/16.3.0.10/udp/5000/quic-v1"}}, Unknown},
		{"two the same", []observed{{quic, "/ip4/16.3.0.10/udp/5000/quic-v1"}, {quic, "/ip4/16.3.0.10/udp/5000/quic-v1"}}, Cone},
		{"two others", []observed{{quic, "/ip4/16.3.0.10/udp/5000/quic-v1"}, {quic, "/ip4/16.3.0.10/udp/5001/quic-v1"}}, Symmetric},
		{"our own address", []observed{{quic, "/ip4/16.9.0.1/udp/4747/quic-v1"}}, None},
		{"TCP says nothing of it", []observed{{tcp, "/ip4/16.3.0.10/tcp/5000"}, {tcp, "/ip4/16.3.0.10/tcp/5001"}}, Unknown},
		{"nor does the same network", []observed{{lan, "/ip4/192.168.1.7/udp/1/quic-v1"}, {lan, "/ip4/192.168.1.7/udp/2/quic-v1"}}, Unknown},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var o Observers
			for i, b := range tc.by {
				p := peerNumber(i)
				o.Note(event.EvtPeerIdentificationCompleted{Peer: p, Conn: said{peer: p, addr: b.at}, ObservedAddr: multiaddr.StringCast(b.seen)})
			}
			if got := o.Kind(func(peer.ID) bool { return true }, ours); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if got := o.Kind(func(peer.ID) bool { return false }, ours); got != Unknown {
				t.Errorf("with nobody connected: %s", got)
			}
		})
	}
}

// TestObserversFollow: what counts is where a peer sees this node last, and that it moved is told once.
func TestObserversFollow(t *testing.T) {
	var o Observers
	c := said{peer: peerNumber(1), addr: "/ip4/16.1.0.10/udp/4747/quic-v1"}
	for _, step := range []struct {
		at    string
		moved bool
	}{
		{"/ip4/16.3.0.10/udp/5000/quic-v1", false},
		{"/ip4/16.3.0.10/udp/5000/quic-v1", false},
		{"/ip4/16.4.0.10/udp/5000/quic-v1", true},
		{"/ip4/16.4.0.10/udp/5000/quic-v1", false},
	} {
		if moved := o.Observed(c, multiaddr.StringCast(step.at)); moved != step.moved {
			t.Errorf("seen at %s: moved is %v, want %v", step.at, moved, step.moved)
		}
		if got := o.Addrs(func(peer.ID) bool { return true }); len(got) != 1 || got[0].String() != step.at {
			t.Errorf("seen at %v, want %s", got, step.at)
		}
	}
	if got := o.Addrs(func(peer.ID) bool { return false }); len(got) > 0 {
		t.Errorf("with nobody connected: %v", got)
	}
}

func TestWithPorts(t *testing.T) {
	got := WithPorts(addrsOf("/ip4/16.3.0.10/udp/5000/quic-v1", "/ip6/2001:db8::9/udp/5000/quic-v1"),
		addrsOf("/ip4/0.0.0.0/tcp/4747", "/ip4/0.0.0.0/udp/4747/quic-v1", "/p2p-circuit"))
	if len(got) != 1 || got[0].String() != "/ip4/16.3.0.10/udp/4747/quic-v1" {
		t.Errorf("%v, want the IPv4 address with the port of QUIC", got)
	}
}
