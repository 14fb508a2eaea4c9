package trust_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

func TestOpen(t *testing.T) {
	const owner, friend, stranger = peer.ID("owner"), peer.ID("friend"), peer.ID("stranger")
	judge := trust.NewOpen(owner)
	judge.Allow(friend)
	tests := []struct {
		name string
		peer peer.ID
		may  bool
	}{
		{"named at the start", owner, true},
		{"added later", friend, true},
		{"stranger", stranger, false},
		{"nobody", "", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := judge.Member(tc.peer); got != tc.may {
				t.Errorf("member: got %v, want %v", got, tc.may)
			}
			err := judge.May(tc.peer, "miner.control")
			if (err == nil) != tc.may {
				t.Fatalf("may: got %v, want %v", err, tc.may)
			}
			if d, ok := errors.AsType[*trust.Denied](err); err != nil && (!ok || d.Peer != tc.peer || !strings.Contains(err.Error(), "does not take")) {
				t.Errorf("the refusal %v does not say what is the case", err)
			}
		})
	}
	if new(trust.Open).Member(owner) {
		t.Error("the zero value lets somebody in")
	}
}
