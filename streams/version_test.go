package streams_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/seed-b490fa12/swarm/streams"
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

func TestFamilies(t *testing.T) {
	p := newPipe(t, forMember())
	noError(t, versioned("2.1.0", "1.0.0").Handle(p.Mux, tellVersion), read.Handle(p.Mux, echoed))
	want := []streams.FamilyInfo{{Name: "versioned", Versions: []string{"2.1.0", "1.0.0"}}, {Name: "virtual", Versions: []string{"1.0.0"}}}
	if got := p.Mux.Families(); !slices.EqualFunc(got, want, func(a, b streams.FamilyInfo) bool {
		return a.Name == b.Name && slices.Equal(a.Versions, b.Versions)
	}) {
		t.Errorf("families %v", got)
	}
}

// A kept stream has the version that was agreed on when it was opened, and once answered a call of
// another major version of its family too, as if the peer spoke that.
func TestKeptStreamsAreOfOneVersion(t *testing.T) {
	p := newPipe(t, forMember())
	noError(t, versioned("2.0.0", "1.0.0").Handle(p.Mux, tellVersion))
	for range 2 { // the second time all of them find a stream that is kept
		for _, tc := range []struct {
			caller []string
			want   string // empty: none in common
		}{
			{[]string{"1.0.0"}, "1.0.0"},
			{[]string{"2.0.0"}, "2.0.0"},
			{[]string{"3.0.0"}, ""},
			{[]string{"2.0.0", "1.0.0"}, "2.0.0"},
			{[]string{"1.3.0"}, "1.3.0"},
			{[]string{"3.0.0", "1.0.0"}, "1.0.0"},
		} {
			got, err := versioned(tc.caller...).Do(t.Context(), p.Client, p.Server.ID(), text{})
			if tc.want == "" {
				if !errors.Is(err, streams.ErrUnsupported) {
					t.Errorf("%v: got %q, %v, want 501", tc.caller, got.Text, err)
				}
				continue
			}
			if err != nil || got.Text != tc.want {
				t.Errorf("%v: got %q, %v, want %s", tc.caller, got.Text, err, tc.want)
			}
		}
	}
	if n := len(p.Conn.GetStreams()); n != 5 {
		t.Errorf("%d streams are open, want one for each of the five that could be spoken", n)
	}
}
