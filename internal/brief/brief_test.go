package brief

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/streams"
)

// An error has one line for a person, with its code and its cause; what was tried is kept beside it.
func TestError(t *testing.T) {
	const tried = "connect to X: peer is unreachable: /ip4/192.0.2.1/tcp/4747 (dial to self attempted), /ip6/::1/tcp/1 (i/o timeout)"
	m := Machine{Peer: peer.ID("x"), Name: "rig-02", Seen: time.Now().Add(-44 * time.Second)}
	id := m.Peer.String()
	away := func(words string, kinds ...error) error {
		return streams.Errorf(streams.CodeUnavailable, "%s%w", words, silent{errors.Join(append(kinds, streams.ErrUnreachable)...)})
	}
	for _, tt := range []struct {
		name, want string
		err        error
		code       streams.Code
	}{
		{"offline", "offline since 44s; why: swarm doctor rig-02", away("offline or cut off: " + tried), 503},
		{"as the host says it", "offline since 44s; why: swarm doctor rig-02", fmt.Errorf("%s%w", tried, silent{host.ErrUnreachable}), 503},
		{"another machine", "another machine answers at its address: one of the two was set up anew or has moved; why: swarm doctor rig-02", away(tried, host.ErrOtherPeer), 503},
		{"another machine alone", "another machine answers at its address: one of the two was set up anew or has moved; why: swarm doctor rig-02", streams.Errorf(503, "offline or cut off: %w", host.ErrOtherPeer), 503},
		{"nowhere", "no address of it is known; why: swarm doctor rig-02", host.ErrNoAddress, 503},
		{"lost", "the connection was lost before the answer; why: swarm doctor rig-02", away("lost " + id + ": stream reset"), 503},
		{"parted", "the machine closed the connection: shutting down; why: swarm doctor rig-02", away(id + " closed the connection: shutting down"), 503},
		{"late", "no answer in time; why: swarm doctor rig-02", streams.Errorf(streams.CodeTimeout, "no answer from %s in time", id), 408},
		{"full", "the machine refuses more streams", streams.Errorf(streams.CodeTooMany, "%s refuses more streams", id), 429},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Error(m, tt.err)
			e, ok := errors.AsType[*streams.Error](got)
			if !ok || e.Message != tt.want || e.Code != tt.code {
				t.Errorf("got %v", got)
			}
			if !errors.Is(got, tt.err) || Full(got) == "" || e.Validate() != nil {
				t.Errorf("cause %v, details %q", errors.Unwrap(got), Full(got))
			}
		})
	}
	for _, err := range []error{nil, context.Canceled, errors.New("x"), streams.Errorf(streams.CodeRefused, "not allowed")} {
		if got := Error(m, err); got != err || Full(got) != "" {
			t.Errorf("%v became %v", err, got)
		}
	}
	unknown := Error(Machine{Peer: m.Peer}, away(strings.Repeat(tried, 100)))
	e, _ := errors.AsType[*streams.Error](unknown)
	if want := "offline: it has never answered here; why: swarm doctor " + id; e.Message != want || e.Validate() != nil {
		t.Errorf("got %v", unknown)
	}
}

// What stands beside the state of a machine has no word of the libraries either.
func TestWhy(t *testing.T) {
	const tried = "connect to X: peer is unreachable: /ip4/192.0.2.1/tcp/4747 (dial to self attempted)"
	m := Machine{Peer: peer.ID("x"), Name: "rig-02"}
	for _, tt := range []struct {
		want string
		err  error
	}{
		{"", nil},
		{"none of its addresses answers; why: swarm doctor rig-02", fmt.Errorf("%s%w", tried, silent{host.ErrUnreachable})},
		{"no address of it is known; why: swarm doctor rig-02", host.ErrNoAddress},
		{"the machine closed the connection: shutting down; why: swarm doctor rig-02", errors.New("12D3 closed the connection: shutting down")},
		{"no answer in time; why: swarm doctor rig-02", streams.Errorf(streams.CodeTimeout, "no answer from X in time")},
		{"the connection was lost; why: swarm doctor rig-02", errors.New("stream reset (remote): code: 0x3e8: transport error")},
	} {
		if got := Why(m, tt.err); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
}
