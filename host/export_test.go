package host

import "github.com/multiformats/go-multiaddr"

// Listening are the addresses that are open, without that of circuits, which the library always has.
func (h *Host) Listening() []multiaddr.Multiaddr { return h.listen.open() }
