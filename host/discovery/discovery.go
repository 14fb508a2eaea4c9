// Package discovery has the ways to find other nodes, each of them alone enough: a private DHT,
// mDNS and a UDP beacon in the local network, and peers known from before.
//
// A way is a Finder. Its Find is ranged over in one goroutine until the context ends:
//
//	for found := range finder.Find(ctx) {
//		fmt.Println(found.Source, "knows", found.ID)
//	}
//
// Everything found is a hint by somebody who need not be honest: it says where a peer might be,
// never that it may do something. Numbers of peers and addresses are bounded here, and identity is
// proven when one connects.
package discovery

import (
	"context"
	"iter"
	"log/slog"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds on what is taken from others.
const (
	MaxAddrs = 16   // addresses of one found peer; the rest is dropped
	MaxPeers = 1024 // peers taken from one question to the DHT
)

// Found is a peer that somebody says exists.
type Found struct {
	peer.AddrInfo
	// Source names the way in a word, for logs and tables: "dht", "mdns", "beacon", "saved".
	Source string
}

// Finder is one way to find peers.
type Finder interface {
	// Find yields peers as they are found, the same ones again from time to time, and ends when ctx
	// does. This node itself may be among them, also where it is not: then another machine may have
	// its key. It is ranged over once at a time. All goroutines it starts have ended when the loop
	// has.
	Find(ctx context.Context) iter.Seq[Found]
	// String names the way as in Found.Source.
	String() string
}

// bounded cuts the list of addresses to what we are ready to remember.
func bounded(source string, info peer.AddrInfo) Found {
	return Found{Source: source, AddrInfo: peer.AddrInfo{ID: info.ID, Addrs: info.Addrs[:min(len(info.Addrs), MaxAddrs)]}}
}

// silentIfNil spares the callers a nil check.
func silentIfNil(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
