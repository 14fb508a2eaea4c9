package discovery

import (
	"context"
	"iter"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Known is a Finder for peers one knows already, for instance from an address book. It asks list once and then only
// waits, because the other ways do not need it again.
func Known(source string, list func() []peer.AddrInfo) Finder {
	return known{source: source, list: list}
}

type known struct {
	source string
	list   func() []peer.AddrInfo
}

func (k known) String() string { return k.source }

func (k known) Find(ctx context.Context) iter.Seq[Found] {
	return func(yield func(Found) bool) {
		for _, info := range k.list() {
			if ctx.Err() != nil || !yield(bounded(k.source, info)) {
				return
			}
		}
		<-ctx.Done()
	}
}
