package diagnose

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/host/names"
	"github.com/seed-b490fa12/swarm/internal/agent"
)

// answering returns the address of a listener that does this with each connection.
func answering(t *testing.T, do func(net.Conn)) multiaddr.Multiaddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				do(c)
			}()
		}
	}()
	a, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A plain connection tells a node from a portal, from a stuck program, and from nothing.
func TestProbe(t *testing.T) {
	wait := func(c net.Conn) { io.Copy(io.Discard, c) }
	closed := answering(t, wait)
	for _, tc := range []struct {
		name string
		addr multiaddr.Multiaddr
		want spoken
	}{
		{"a node", answering(t, func(c net.Conn) { c.Write(greetings); wait(c) }), speaksNode},
		{"a portal", answering(t, func(c net.Conn) {
			c.Read(make([]byte, 64))
			io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n")
		}), speaksHTTP},
		{"something else", answering(t, func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.2 and more of it\r\n") }), speaksOther},
		{"a stuck program", answering(t, wait), mute},
		{"nothing", multiaddr.StringCast("/ip4/127.0.0.1/tcp/1"), nothingThere},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := probe(t.Context(), tc.addr); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
	for addr, want := range map[string]bool{
		closed.String(): true, "/dns4/example.org/tcp/80": false, "/ip4/192.0.2.1/udp/1/quic-v1": false, "/ip4/192.0.2.1/tcp/443/ws": false,
	} {
		if got := plainTCP(multiaddr.StringCast(addr)); got != want {
			t.Errorf("%s is spoken to: %t", addr, got)
		}
	}
}

// What is heard around decides whose fault it is that a machine does not answer.
func TestWhoseFault(t *testing.T) {
	silent := []dial.Tried{{Addr: multiaddr.StringCast("/ip4/192.0.2.1/tcp/1"), Err: dial.Errorf(errors.New("x"), "no answer")}}
	late := []dial.Tried{{Addr: multiaddr.StringCast("/ip4/192.0.2.1/tcp/1"), Err: context.DeadlineExceeded}}
	unnamed := []dial.Tried{{Addr: multiaddr.StringCast("/dns4/rig.example/tcp/1"), Err: dial.Errorf(names.ErrServer, "no answer")}}
	at := func(s spoken) map[string]spoken { return map[string]spoken{"a": s} }
	for _, tc := range []struct {
		name   string
		around surroundings
		want   Code
	}{
		{"others answer", surroundings{tried: silent, asked: 2, alive: true}, CodeOffline},
		{"there are no others", surroundings{tried: silent}, CodeOffline},
		{"nobody answers", surroundings{tried: silent, asked: 2}, CodeNetwork},
		{"HTTP in its place", surroundings{tried: silent, asked: 2, alive: true, heard: at(speaksHTTP)}, CodePortal},
		{"HTTP in the place of all", surroundings{tried: silent, asked: 2, beside: at(speaksHTTP)}, CodePortal},
		{"HTTP in the place of one other", surroundings{tried: silent, asked: 2, alive: true, beside: at(speaksHTTP)}, CodeOffline},
		{"mute in the place of all", surroundings{tried: silent, asked: 1, heard: at(mute)}, CodePortal},
		{"small packets pass", surroundings{tried: late, asked: 1, alive: true, heard: at(speaksNode)}, CodeMTU},
		{"a node refuses in time", surroundings{tried: silent, asked: 1, alive: true, heard: at(speaksNode)}, CodeOffline},
		{"no name server", surroundings{tried: unnamed, asked: 1, alive: true}, CodeDNS},
		{"no name server, and an address", surroundings{tried: append(silent, unnamed...), asked: 1, alive: true}, CodeOffline},
		{"mute while others answer", surroundings{tried: silent, asked: 1, alive: true, heard: at(mute)}, CodeMute},
	} {
		x := examination{target: agent.Target{Name: "rig"}}
		x.offline(tc.around)
		f := x.Findings[len(x.Findings)-1]
		if f.Code != tc.want || f.Level != LevelFail || x.Err == nil || strings.Contains(f.Next, "rig is on") != (tc.want == CodeOffline || tc.want == CodeMute) {
			t.Errorf("%s: got %+v, want %s", tc.name, f, tc.want)
		}
	}
}

// That no machine is connected is not well.
func TestAlone(t *testing.T) {
	for _, tc := range []struct {
		connected, known int
		well             bool
	}{{0, 2, false}, {1, 2, true}, {0, 0, true}} {
		d := Here(agent.Self{Connected: tc.connected, Known: tc.known}, true)
		if (d.Err == nil) != tc.well {
			t.Errorf("%+v: %v", tc, d.Err)
		}
	}
}
