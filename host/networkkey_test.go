package host_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
)

func newKey(t *testing.T) pnet.PSK {
	t.Helper()
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	return key
}

// Whoever has no key, or another one, is told so.
func TestNetworkKey(t *testing.T) {
	tcp := []multiaddr.Multiaddr{listenLoopback[0]}
	key := newKey(t)
	w := newHost(t, host.Config{DHT: host.DHTOff, Listen: tcp, NetworkKey: key})
	for _, tc := range []struct {
		name string
		key  pnet.PSK
		want string // empty: it gets in
	}{
		{"the same key", key, ""},
		{"another key", newKey(t), "another network key, or none"},
		{"no key", nil, "network"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t, host.Config{DHT: host.DHTOff, NoListen: true, NetworkKey: tc.key})
			err := h.Connect(t.Context(), addrInfo(w))
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	_, err := host.New(host.Config{StateDir: t.TempDir(), Listen: listenLoopback, NetworkKey: key})
	if err == nil || !strings.Contains(err.Error(), "QUIC cannot be used with a network key") {
		t.Errorf("QUIC with a key: %v", err)
	}
}
