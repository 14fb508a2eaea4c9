package discovery

import (
	"context"
	"iter"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Known is a Finder for peers one knows already, for instance from an address book. It asks list
// once, and again when the network has changed: who was out of reach may be near now.
func Known(source string, changes *Changes, list func() []peer.AddrInfo) Finder {
	return known{source: source, changes: changes, list: list}
}

type known struct {
	source  string
	changes *Changes
	list    func() []peer.AddrInfo
}

func (k known) String() string { return k.source }

func (k known) Find(ctx context.Context) iter.Seq[Found] {
	return func(yield func(Found) bool) {
		for ctx.Err() == nil {
			changed := k.changes.Next()
			for _, info := range k.list() {
				if ctx.Err() != nil || !yield(bounded(k.source, info)) {
					return
				}
			}
			select {
			case <-ctx.Done():
			case <-changed:
			}
		}
	}
}
