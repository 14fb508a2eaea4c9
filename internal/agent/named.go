package agent

import (
	"context"
	"log/slog"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// named logs with the name of each peer that is a member of the fleet.
type named struct {
	slog.Handler
	fleet *trust.Fleet
}

// withNames returns log, with names beside the peer IDs of members. The fleet itself must not log by it,
// as it is asked for each name.
func withNames(log *slog.Logger, fleet *trust.Fleet) *slog.Logger {
	if fleet == nil {
		return log
	}
	return slog.New(named{log.Handler(), fleet})
}

func (n named) Handle(ctx context.Context, r slog.Record) error {
	name, said := "", false
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "peer" {
			name = n.nameOf(a.Value)
		}
		said = said || a.Key == "name"
		return true
	})
	if name != "" && !said {
		r = r.Clone()
		r.AddAttrs(slog.String("name", name))
	}
	return n.Handler.Handle(ctx, r)
}

// nameOf returns the name of the member that a value says, by its ID or as text.
func (n named) nameOf(v slog.Value) string {
	id, ok := v.Resolve().Any().(peer.ID)
	if !ok {
		var err error
		if id, err = peer.Decode(v.String()); err != nil {
			return ""
		}
	}
	if m, ok := n.fleet.Known(id); ok {
		return m.Grant.Name
	}
	return ""
}

func (n named) WithAttrs(attrs []slog.Attr) slog.Handler {
	return named{n.Handler.WithAttrs(attrs), n.fleet}
}

func (n named) WithGroup(name string) slog.Handler { return named{n.Handler.WithGroup(name), n.fleet} }
