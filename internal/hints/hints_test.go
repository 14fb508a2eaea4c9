package hints

import (
	"errors"
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

func TestHints(t *testing.T) {
	err := errors.New("x")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{err, "x"},
		{fmt.Errorf("lock: %w", durable.ErrNoLocks), "lock: this file system has no locks: use a local disk, with --state DIR"},
		{fmt.Errorf("y: %w", &trust.Denied{Peer: "p", Reason: "no"}), "y: no; its owner allows it with: swarm worker --allow " + peer.ID("p").String()},
		{&trust.Denied{Reason: "no", Err: fmt.Errorf("%w: %w", trust.ErrOwnGrant, trust.ErrExpired)}, "no; renew it from a controller that may issue grants: swarm renew"},
		{&trust.Denied{Reason: "no", Err: trust.ErrIssuer}, "no"},
		{&trust.Blocked{Err: err, Need: trust.NeedRootKey}, "x (--as-root)"},
		{&trust.Blocked{Err: err, Need: trust.NeedEnd, Name: "laptop"}, "x: swarm revoke laptop --as-root"},
		{&trust.Blocked{Err: err, Need: trust.NeedLift, Peer: "p"}, "x; the owner lifts that first, with the root key: swarm revoke --lift " + peer.ID("p").String()},
	} {
		if got := tt.err.Error() + For(tt.err); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
