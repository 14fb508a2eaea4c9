package discovery

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const namespaceEnv = "SWARM_TEST_MDNS_NAMESPACE"

// TestMDNS runs in a network namespace of its own, so that nothing leaves this machine.
func TestMDNS(t *testing.T) {
	if os.Getenv(namespaceEnv) != "" {
		testMDNS(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self, "-test.run=^TestMDNS$", "-test.v")
	child.Env = append(os.Environ(), namespaceEnv+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := child.CombinedOutput()
	if err != nil && child.ProcessState == nil {
		t.Skip("SKIPPED: no network namespaces here: ", err)
	}
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// testMDNS: two nodes that announce find each other; one that only asks finds both, and is found by
// none.
func testMDNS(t *testing.T) {
	for _, args := range [][]string{
		{"link", "set", "lo", "up", "multicast", "on"},
		{"addr", "add", "10.77.0.1/24", "dev", "lo"},
		{"route", "add", "224.0.0.0/4", "dev", "lo"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Skipf("SKIPPED: ip %v: %v: %s", args, err, out)
		}
	}
	const listen = "/ip4/10.77.0.1/tcp/0"
	a, b, asker := newLoopback(t, listen), newLoopback(t, listen), newLoopback(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	type sighting struct {
		by peer.ID
		Found
	}
	seen := make(chan sighting)
	var running []chan struct{}
	for i, m := range []*MDNS{
		NewMDNS(a, MDNSConfig{Service: "_swarmtest._udp", Announce: true}),
		NewMDNS(b, MDNSConfig{Service: "_swarmtest._udp", Announce: true}),
		NewMDNS(asker, MDNSConfig{Service: "_swarmtest._udp"}),
	} {
		done := make(chan struct{})
		running = append(running, done)
		by := []peer.ID{a.ID(), b.ID(), asker.ID()}[i]
		go func() {
			defer close(done)
			for f := range m.Find(ctx) {
				select {
				case seen <- sighting{by, f}:
				case <-ctx.Done():
				}
			}
		}()
	}
	missing := map[[2]peer.ID]bool{
		{a.ID(), b.ID()}: true, {b.ID(), a.ID()}: true, {asker.ID(), a.ID()}: true, {asker.ID(), b.ID()}: true,
	}
	start := time.Now()
	for len(missing) > 0 {
		select {
		case s := <-seen:
			if s.ID == asker.ID() {
				t.Error("the node that only asks was found")
			}
			delete(missing, [2]peer.ID{s.by, s.ID})
		case <-ctx.Done():
			t.Fatalf("not found: %v", missing)
		}
	}
	t.Logf("all found after %v", time.Since(start))
	cancel()
	for _, done := range running {
		<-done
	}
}
