package diagnose

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/seed-b490fa12/swarm/host/route"
)

// spoken is what a plain TCP connection to the address of a member hears.
type spoken int

const (
	nothingThere spoken = iota // no connection
	mute                       // it takes the connection, and says nothing
	speaksNode                 // it speaks as a node does
	speaksHTTP                 // it speaks HTTP: a portal or a proxy
	speaksOther                // it says something else
)

const (
	probeTime = 1500 * time.Millisecond // for one address, in all
	probeWait = 700 * time.Millisecond  // for a node to speak, which it does first
	maxProbes = 4                       // addresses
)

// greetings is how a node begins: the name of the protocol by which the others are chosen.
var greetings = []byte("\x13/multistream/1.0.0\n")

// probe connects with an address of a member by plain TCP, listens, and if nothing is said asks in
// HTTP. A node speaks first; a portal waits for a request.
func probe(ctx context.Context, a multiaddr.Multiaddr) spoken {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	network, addr, err := manet.DialArgs(a)
	if err != nil {
		return nothingThere
	}
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nothingThere
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	end, _ := ctx.Deadline()
	if s := hear(c, time.Now().Add(probeWait)); s != mute {
		return s
	}
	host, _, _ := net.SplitHostPort(addr)
	c.SetWriteDeadline(end)
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", host); err != nil {
		return mute
	}
	return hear(c, end)
}

// hear tells by the first bytes who speaks.
func hear(c net.Conn, until time.Time) spoken {
	c.SetReadDeadline(until)
	first := make([]byte, len(greetings))
	n, _ := io.ReadFull(c, first)
	switch first = first[:n]; {
	case n == 0:
		return mute
	case bytes.HasPrefix(first, []byte("HTTP/")):
		return speaksHTTP
	case bytes.Equal(first, greetings):
		return speaksNode
	}
	return speaksOther
}

// plainTCP reports whether an address is one of plain TCP by IP, to which a probe can speak.
func plainTCP(a multiaddr.Multiaddr) bool {
	return route.RelayOf(a) == "" && len(a) == 2 && a[1].Protocol().Code == multiaddr.P_TCP &&
		(a[0].Protocol().Code == multiaddr.P_IP4 || a[0].Protocol().Code == multiaddr.P_IP6)
}

// probeAll returns what is spoken at some of the addresses that can be probed.
func probeAll(ctx context.Context, addrs []multiaddr.Multiaddr) map[string]spoken {
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(a multiaddr.Multiaddr) bool { return !plainTCP(a) })
	out := make(map[string]spoken)
	var mu sync.Mutex
	var probes sync.WaitGroup
	for _, a := range addrs[:min(len(addrs), maxProbes)] {
		probes.Go(func() {
			s := probe(ctx, a)
			mu.Lock()
			defer mu.Unlock()
			out[a.String()] = s
		})
	}
	probes.Wait()
	return out
}

// hears reports whether any address has spoken so.
func hears(heard map[string]spoken, s spoken) bool {
	for _, h := range heard {
		if h == s {
			return true
		}
	}
	return false
}
