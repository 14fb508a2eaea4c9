package diagnose

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/host/names"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// machine is a node and a controller that know one other machine, which answers as it says.
type machine struct {
	Node
	Asker
	book    *book.Book
	version string
	rtt     time.Duration
	greeted error // instead of a greeting
	stats   error // instead of stats
}

func (m *machine) ID() peer.ID                     { return streamtest.PeerID("laptop") }
func (m *machine) Book() *book.Book                { return m.book }
func (m *machine) Twin(peer.ID) (twins.Twin, bool) { return twins.Twin{}, false }
func (m *machine) PathInWords(peer.ID) string      { return "LAN" }
func (m *machine) AskStats(context.Context, peer.ID) error {
	return m.stats
}

func (m *machine) Greeting(context.Context, peer.ID) (greet.PeerInfo, error) {
	return greet.PeerInfo{Hello: greet.Hello{Version: m.version}}, m.greeted
}

func (m *machine) Ping(context.Context, agent.Target, time.Duration) (agent.PingResult, error) {
	return agent.PingResult{RTT: m.rtt}, nil
}

func bookWith(t *testing.T, entries ...book.Entry) *book.Book {
	t.Helper()
	b, err := book.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := b.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// codesOf are the codes of what was found.
func codesOf(d Diagnosis) (codes []Code) {
	for _, f := range d.Findings {
		if f.Code != "" {
			codes = append(codes, f.Code)
		}
	}
	return codes
}

// A machine that answers may be slow, of another version, or take no questions from here.
func TestCodesOfAMachineThatAnswers(t *testing.T) {
	forbidden := streams.Errorf(streams.CodeForbidden, "no")
	for _, tc := range []struct {
		name    string
		machine machine
		want    []Code
	}{
		{"it is well", machine{}, nil},
		{"it is late", machine{rtt: slow + time.Millisecond}, []Code{CodeSlow}},
		{"it is older", machine{version: "0.9.0"}, []Code{CodeVersion}},
		{"it says no", machine{stats: forbidden}, []Code{CodeNoRight}},
		{"it does not know this one", machine{stats: streams.Errorf(streams.CodeUnauthenticated, "who?")}, []Code{CodeNoRight}},
		{"it refuses the connection", machine{greeted: forbidden}, []Code{CodeRefused}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := &tc.machine
			m.book = bookWith(t)
			if m.version == "" {
				m.version = greet.ProtocolVersion
			} else if m.version == greet.ProtocolVersion {
				t.Fatal("that is no other version")
			}
			x := examination{node: m, asker: m, target: agent.Target{Name: "rig"}}
			x.answers(t.Context(), time.Second)
			if got := codesOf(x.Diagnosis); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// A relay that does not take this machine for a member says so when it is greeted.
func TestCodeNoMember(t *testing.T) {
	rig := streamtest.PeerID("vps")
	m := &machine{book: bookWith(t, book.Entry{Peer: rig, Name: "vps", Role: string(trust.RoleRelay)})}
	x := examination{node: m, asker: m, fleet: new(trust.Fleet), target: agent.Target{Peer: rig, Name: "vps"}}
	x.Peer = rig
	x.rights(t.Context(), "your grant has ended")
	if got := codesOf(x.Diagnosis); !slices.Equal(got, []Code{CodeNoMember}) || streams.CodeOf(x.Err) != streams.CodeForbidden {
		t.Errorf("got %v, %v", got, x.Err)
	}
}

// One that is connected and says nothing for as long as there was is slow, not unsteady.
func TestCodeSlowWithoutAnAnswer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	x := examination{target: agent.Target{Name: "rig"}, connected: true}
	x.refusal(ctx, ctx.Err())
	if got := codesOf(x.Diagnosis); !slices.Equal(got, []Code{CodeSlow}) {
		t.Errorf("got %v", got)
	}
}

// What is wrong around a machine that is reached all the same.
func TestCodesAround(t *testing.T) {
	tried := func(addr string, err error) dial.Tried { return dial.Tried{Addr: multiaddr.StringCast(addr), Err: err} }
	good := tried("/ip4/8.8.8.8/tcp/1", nil)
	for _, tc := range []struct {
		name  string
		tried []dial.Tried
		want  []Code
	}{
		{"nothing", []dial.Tried{good}, nil},
		{"the name server is silent", []dial.Tried{good, tried("/dns4/rig.example/tcp/1", dial.Errorf(names.ErrServer, "x"))}, []Code{CodeDNS}},
		{"a name is gone", []dial.Tried{good, tried("/dns4/rig.example/tcp/1", dial.Errorf(names.ErrUnknown, "x"))}, []Code{CodeName}},
		{"IPv6 is dark", []dial.Tried{good, tried("/ip6/2001:4860::8/tcp/1", context.DeadlineExceeded)}, []Code{CodeIPv6}},
		{"IPv6 is refused", []dial.Tried{good, tried("/ip6/2001:4860::8/tcp/1", errors.New("refused"))}, nil},
		{"IPv4 is no better", []dial.Tried{tried("/ip4/8.8.8.8/tcp/1", context.DeadlineExceeded), tried("/ip6/2001:4860::8/tcp/1", context.DeadlineExceeded)}, nil},
		{"one of IPv6 answers", []dial.Tried{good, tried("/ip6/2001:4860::8/tcp/1", nil), tried("/ip6/2001:4860::9/tcp/1", context.DeadlineExceeded)}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var x examination
			x.notes(surroundings{tried: tc.tried}, true)
			if got := codesOf(x.Diagnosis); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// All hangs on one relay if that has a public IP address, no name, and no other beside it.
func TestCodeOneRelay(t *testing.T) {
	relay := func(name string, addrs ...string) book.Entry {
		return book.Entry{Peer: streamtest.PeerID(name), Name: name, Role: string(trust.RoleRelay), Addrs: addrs}
	}
	for _, tc := range []struct {
		name   string
		relays []book.Entry
		want   []Code
	}{
		{"none", nil, nil},
		{"one, by its IP address", []book.Entry{relay("vps", "/ip4/8.8.8.8/tcp/1")}, []Code{CodeOneRelay}},
		{"one, by a name as well", []book.Entry{relay("vps", "/ip4/8.8.8.8/tcp/1", "/dns4/vps.example/tcp/1")}, nil},
		{"one, in this network", []book.Entry{relay("vps", "/ip4/192.168.1.2/tcp/1")}, nil},
		{"two", []book.Entry{relay("vps", "/ip4/8.8.8.8/tcp/1"), relay("vps2", "/ip4/8.8.4.4/tcp/1")}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := &machine{book: bookWith(t, tc.relays...)}
			var d Diagnosis
			d.around(t.Context(), m, m)
			if got := codesOf(d); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
