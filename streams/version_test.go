package streams_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// versioned returns a call of a family with these versions.
func versioned(versions ...string) streams.Call[text, text] {
	return streams.Call[text, text]{
		Family:  streams.Family{Name: "versioned", Versions: versions},
		Request: "v", Reply: "v_ack", Verb: streams.VerbStatsRead,
	}
}

func tellVersion(_ context.Context, p streams.Peer, _ text) (text, error) {
	return text{Text: p.Version}, nil
}

func TestHighestCommonVersion(t *testing.T) {
	tests := []struct {
		name           string
		server, caller []string
		want           string // the version the handler sees; empty: none in common
	}{
		{"the same", []string{"1.0.0"}, []string{"1.0.0"}, "1.0.0"},
		{"the highest of both", []string{"2.1.0", "1.0.0"}, []string{"2.1.0", "1.0.0"}, "2.1.0"},
		{"an older server", []string{"1.0.0"}, []string{"2.1.0", "1.0.0"}, "1.0.0"},
		{"an older caller", []string{"2.1.0", "1.0.0"}, []string{"1.0.0"}, "1.0.0"},
		{"another minor version", []string{"2.1.0", "1.0.0"}, []string{"2.7.3"}, "2.7.3"},
		{"another minor version, and an old one in common", []string{"2.1.0", "1.0.0"}, []string{"2.7.3", "1.0.0"}, "2.7.3"},
		{"the lower one listed first", []string{"1.0.0", "2.1.0"}, []string{"1.0.0", "2.0.0"}, "2.0.0"},
		{"a newer server", []string{"3.0.0", "2.1.0"}, []string{"2.1.0", "1.0.0"}, "2.1.0"},
		{"a version before the first", []string{"0.2.0"}, []string{"0.9.0"}, "0.9.0"},
		{"ten is more than nine", []string{"10.0.0", "9.0.0"}, []string{"9.0.0", "10.0.0"}, "10.0.0"},
		{"nothing in common", []string{"2.1.0"}, []string{"1.0.0"}, ""},
	}
	for _, tc := range tests {
		for _, announced := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, announced %v", tc.name, announced), func(t *testing.T) {
				p := newPipe(t, forMember())
				noError(t, versioned(tc.server...).Handle(p.Mux, tellVersion))
				if announced { // as identify does on real hosts
					for _, v := range tc.server {
						noError(t, p.Caller.Network().Peerstore().AddProtocols(p.Server.ID(), protocol.ID("/swarm/versioned/"+v)))
					}
				}
				c := versioned(tc.caller...)
				got, err := c.Do(t.Context(), p.Client, p.Server.ID(), text{})
				onConn, _, connErr := c.DoOn(t.Context(), p.Client, p.Conn, text{})
				if tc.want == "" {
					if !errors.Is(err, streams.ErrUnsupported) || !errors.Is(connErr, streams.ErrUnsupported) {
						t.Errorf("got %v and %v, want 501", err, connErr)
					}
					return
				}
				noError(t, err, connErr)
				if got.Text != tc.want || onConn.Text != tc.want {
					t.Errorf("got %q and %q, want %q", got.Text, onConn.Text, tc.want)
				}
			})
		}
	}
}

// What is not a version, or belongs to another family, is not served.
func TestVersionsThatDoNotMatch(t *testing.T) {
	p := newPipe(t, forMember())
	noError(t, versioned("1.0.0").Handle(p.Mux, tellVersion))
	for _, id := range []protocol.ID{
		"/swarm/versioned/1", "/swarm/versioned/1.0", "/swarm/versioned/1.x.0", "/swarm/versioned/", "/swarm/versioned",
		"/swarm/versioned/11.0.0", "/swarm/versioned/v1.0.0", "/swarm/other/1.0.0", "/swarm/versioned/x/1.0.0", "/swarm/versioned/1.0.0/x",
	} {
		s, err := p.Caller.NewStream(t.Context(), p.Server.ID(), id)
		if err == nil {
			t.Errorf("%s is served", id)
			s.Reset()
		}
	}
	s, err := p.Caller.NewStream(t.Context(), p.Server.ID(), "/swarm/versioned/1.9.0-rc.1+build")
	noError(t, err)
	s.Reset()
}

func TestInfoHooks(t *testing.T) {
	p := newPipe(t, forMember())
	first, second := versioned("2.1.0", "1.0.0"), read
	if err := p.Mux.Describe(first.Family, streams.Info{}); err == nil {
		t.Error("a family without types was described")
	}
	noError(t, first.Handle(p.Mux, tellVersion), second.Handle(p.Mux, echoed))
	if len(p.Mux.NodeInfo()) != 0 || len(p.Mux.PeerInfo(streams.Peer{})) != 0 {
		t.Error("families without hooks say something")
	}
	noError(t,
		p.Mux.Describe(first.Family, streams.Info{
			Node: func() any { return "ready" },
			Peer: func(p streams.Peer) any {
				if p.ID == streamtest.PeerID("caller") {
					return map[string]int{"calls": 3}
				}
				return nil
			},
		}),
		p.Mux.Describe(second.Family, streams.Info{Peer: func(streams.Peer) any { return true }}),
	)
	if got := fmt.Sprint(p.Mux.NodeInfo()); got != "map[versioned:ready]" {
		t.Errorf("node: %s", got)
	}
	if got := fmt.Sprint(p.Mux.PeerInfo(streams.Peer{ID: streamtest.PeerID("caller")})); got != "map[versioned:map[calls:3] virtual:true]" {
		t.Errorf("peer: %s", got)
	}
	if got := fmt.Sprint(p.Mux.PeerInfo(streams.Peer{ID: streamtest.PeerID("other")})); got != "map[virtual:true]" {
		t.Errorf("another peer: %s", got)
	}
	want := []streams.FamilyInfo{{Name: "versioned", Versions: []string{"2.1.0", "1.0.0"}}, {Name: "virtual", Versions: []string{"1.0.0"}}}
	if got := p.Mux.Families(); !slices.EqualFunc(got, want, func(a, b streams.FamilyInfo) bool {
		return a.Name == b.Name && slices.Equal(a.Versions, b.Versions)
	}) {
		t.Errorf("families %v", got)
	}
}
