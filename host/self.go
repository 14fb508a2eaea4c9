package host

import (
	"errors"
	"net"
	"net/netip"
	"slices"

	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// heardSelf takes addresses at which somebody says that this node is. Those of this machine are passed over: what we announce
// comes back all the time. At another one there may be a second machine with our key.
func (h *Host) heardSelf(source string, addrs []multiaddr.Multiaddr) {
	if h.cfg.OnSelf == nil || len(addrs) == 0 {
		return
	}
	own, err := machineAddrs()
	if err != nil {
		return
	}
	elsewhere := slices.DeleteFunc(slices.Clone(addrs[:min(len(addrs), maxAddrs)]), func(a multiaddr.Multiaddr) bool {
		ip, err := manet.ToIP(a)
		if err != nil || isCircuit(a) {
			return true // a name, or the way by a relay, which may lead back to us
		}
		at, _ := netip.AddrFromSlice(ip)
		at = at.Unmap()
		return at.IsLoopback() || at.IsUnspecified() || slices.Contains(own, at)
	})
	if len(elsewhere) > 0 {
		h.cfg.OnSelf(source, elsewhere)
	}
}

// machineAddrs are all addresses of this machine, also those that nobody else may reach.
func machineAddrs() (out []netip.Addr, err error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out, nil
}

// answeredBySelf reports whether it was this node's own key that answered where another peer was dialled.
func (h *Host) answeredBySelf(err error) bool {
	mismatch, ok := errors.AsType[sec.ErrPeerIDMismatch](err)
	return ok && mismatch.Actual == h.ID()
}
