package host_test

import (
	"strings"
	"testing"

	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
)

// A name is resolved before it is tried, as Connect does it; a transport by itself takes none.
func TestTryName(t *testing.T) {
	listener := newHost(t, host.Config{DHT: host.DHTOff, Listen: listenLoopback[:1]})
	port, err := listener.Addrs()[0].ValueForProtocol(multiaddr.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, host.Config{DHT: host.DHTOff, NoListen: true})
	name, bad := "/dns4/localhost/tcp/"+port, "/dns4/rig.invalid/tcp/"+port
	if err := h.Book().Put(host.Member{Peer: listener.ID(), Addrs: []string{name, bad}}); err != nil {
		t.Fatal(err)
	}
	tried := h.Try(t.Context(), listener.ID())
	if len(tried) != 2 {
		t.Fatalf("tried %+v, want an address and a name without one", tried)
	}
	for _, a := range tried {
		switch {
		case a.Name == nil: // of the one that is not found there is no more to tell
			if a.Addr.String() != bad || !strings.Contains(a.Err, "name is not found") {
				t.Errorf("%s: %q, want that its name is not found", a.Addr, a.Err)
			}
		case a.Name.String() != name || !a.Addr.Equal(listener.Addrs()[0]) || a.Err != "":
			t.Errorf("tried %+v, want an answer at %s", a, listener.Addrs()[0])
		}
	}
}
