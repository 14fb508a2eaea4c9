package host

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"github.com/seed-b490fa12/swarm/host/discovery"
)

const (
	keptTag      = "swarm-kept" // protects kept peers from trimming
	eventQueue   = 256
	maxFound     = 4096             // peers remembered from discovery
	foundAddrTTL = 30 * time.Minute // a hint is asked for again before that
	foundRetry   = time.Minute      // between dials of one found peer
	foundDials   = 4                // at once
	foundTimeout = 10 * time.Second
)

// Keep stays connected with p while Run runs: it is dialled now and whenever it is lost, every 5 s for 10 minutes and then
// every 30 s. Its addresses replace those given before.
func (h *Host) Keep(p peer.AddrInfo) {
	if p.ID == h.ID() {
		return
	}
	h.ConnManager().Protect(p.ID, keptTag)
	h.keeper.add(p)
}

// Forget undoes Keep. The connection, if there is one, stays.
func (h *Host) Forget(p peer.ID) {
	h.ConnManager().Unprotect(p, keptTag)
	h.keeper.remove(p)
}

// Report hands on a peer that another one has named, as if discovery had found it.
func (h *Host) Report(p peer.AddrInfo) { h.reported.Report(p) }

// Kept tells whether this node stays connected with p.
func (h *Host) Kept(p peer.ID) bool { return h.keeper.has(p) }

// Found returns the peers that discovery has found lately, at most 4,096.
func (h *Host) Found() []discovery.Found { return h.found.list() }

// addFinders sets up the ways to find peers that the Config asks for.
func (h *Host) addFinders() error {
	h.reported = discovery.NewReported("peers")
	h.finders = append(h.finders, discovery.Known("saved", h.savedPeers), h.reported)
	if h.cfg.DHT != DHTOff {
		dht, err := discovery.NewDHT(Guard(h.Host, h.cfg.Admit), discovery.DHTConfig{
			Prefix: h.cfg.ProtocolPrefix, Server: h.cfg.DHT == DHTServer, Enough: h.hasLeader, Logger: h.log,
		})
		if err != nil {
			return err
		}
		h.dht = dht
		h.finders = append(h.finders, dht)
	}
	if h.cfg.MDNS {
		h.finders = append(h.finders, discovery.NewMDNS(h.Host, discovery.MDNSConfig{
			Service: mdnsService(string(h.cfg.ProtocolPrefix)), Announce: !h.cfg.NoListen, Logger: h.log,
		}))
	}
	if h.cfg.Beacon != nil {
		cfg := *h.cfg.Beacon
		cfg.Prefix, cfg.Announce, cfg.Logger = string(h.cfg.ProtocolPrefix), !h.cfg.NoListen, h.log
		beacon, err := discovery.NewBeacon(h.Host, cfg)
		if err != nil {
			return err
		}
		h.finders = append(h.finders, beacon)
	}
	return nil
}

// hasLeader tells whether this node of a network with members is connected with one that it keeps: through that one
// it is found, and so are others.
func (h *Host) hasLeader() bool {
	return h.cfg.Member != nil && slices.ContainsFunc(h.keeper.list(), func(p peer.AddrInfo) bool {
		return h.Network().Connectedness(p.ID) == network.Connected
	})
}

// savedPeers lists the address book for discovery, those seen last first: they are the likeliest to be there.
func (h *Host) savedPeers() []peer.AddrInfo {
	var out []peer.AddrInfo
	all := h.book.All()
	slices.SortStableFunc(all, func(a, b Member) int { return cmp.Compare(b.LastSeen, a.LastSeen) })
	for _, m := range all {
		if m.HasAddr() {
			out = append(out, m.AddrInfo())
		}
	}
	return out
}

// follow takes what one way finds.
func (h *Host) follow(ctx context.Context, finder discovery.Finder) {
	var dials sync.WaitGroup
	defer dials.Wait()
	slots := make(chan struct{}, foundDials)
	for f := range finder.Find(ctx) {
		if f.ID == h.ID() {
			h.heardSelf(f.Source, f.Addrs)
			continue
		}
		if f.ID.Validate() != nil || len(f.Addrs) == 0 {
			continue
		}
		h.standings.tell(f.ID, evFound, nil, nil)
		h.improver.wake() // it may be nearer than we thought
		first, before := h.found.add(f)
		if first {
			h.log.Info("found a peer", "peer", f.ID, "by", f.Source)
		}
		// What the same way said before is replaced, so that nobody adds up addresses without end.
		h.Peerstore().SetAddrs(f.ID, slices.DeleteFunc(before, h.order.given.has), 0)
		h.Peerstore().AddAddrs(f.ID, f.Addrs, foundAddrTTL)
		if h.cfg.OnFound != nil {
			h.cfg.OnFound(f)
		}
		if !h.wantsMore(f.ID) {
			continue
		}
		select {
		case slots <- struct{}{}:
			dials.Go(func() {
				defer func() { <-slots }()
				h.dialFound(ctx, f)
			})
		case <-ctx.Done():
			return
		}
	}
}

// wantsMore says whether a found peer is worth a connection: beyond the few that make us a part of the network, a worker
// only remembers where others are, so that a fleet does not become a full mesh.
func (h *Host) wantsMore(p peer.ID) bool {
	return len(h.Network().Peers()) < h.cfg.Connections &&
		h.Network().Connectedness(p) != network.Connected && !h.keeper.has(p) && h.found.mayDial(p, time.Now())
}

func (h *Host) dialFound(ctx context.Context, f discovery.Found) {
	ctx, cancel := context.WithTimeout(ctx, foundTimeout)
	defer cancel()
	if err := h.Connect(ctx, peer.AddrInfo{ID: f.ID}); err != nil { // its addresses are known, and not trusted
		h.log.Debug("found peer cannot be reached", "peer", f.ID, "by", f.Source, "err", err)
	}
}

// watchPeers subscribes to what Run acts on.
func (h *Host) watchPeers() (event.Subscription, error) {
	sub, err := h.EventBus().Subscribe(
		[]any{
			new(event.EvtPeerConnectednessChanged), new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerProtocolsUpdated),
			new(event.EvtHostReachableAddrsChanged),
		},
		eventbus.Name("swarm-host"), eventbus.BufSize(eventQueue))
	if err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	return sub, nil
}

// watchConns has the states of peers follow their connections, until stop is called.
func (h *Host) watchConns() (stop func()) {
	changed := func(_ network.Network, c network.Conn) {
		h.standings.see(c.RemotePeer(), h.BestConn(c.RemotePeer()))
		h.reserved.wake()
		h.improver.wake()
	}
	n := &network.NotifyBundle{ConnectedF: changed, DisconnectedF: changed}
	h.Network().Notify(n)
	for _, p := range h.Network().Peers() { // who came before Run
		h.standings.see(p, h.BestConn(p))
		if h.usableRelay(p) {
			h.learnRelay(p)
		}
	}
	return func() { h.Network().StopNotify(n) }
}

// followPeers tells the keeper about lost peers and the address book about reached ones.
func (h *Host) followPeers(ctx context.Context, events event.Subscription) {
	defer events.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-events.Out():
			if !ok {
				return
			}
			switch e := e.(type) {
			case event.EvtPeerConnectednessChanged:
				if e.Connectedness != network.Connected {
					h.log.Debug("peer is gone", "peer", e.Peer)
					h.seen.add(e.Peer, sighting{at: time.Now()})
					h.learned.left(e.Peer, h.isMember)
				}
				h.keeper.wake(e.Peer)
			case event.EvtPeerIdentificationCompleted:
				h.notice(e)
				h.observers.note(e)
				h.learned.note(e, h.Network().ConnsToPeer(e.Peer), h.isMember)
				if h.Network().Connectedness(e.Peer) == network.NotConnected {
					h.learned.left(e.Peer, h.isMember) // it was quicker than the news of it
				}
				if h.usableRelay(e.Peer) {
					h.learnRelay(e.Peer)
					h.keeper.wakeAll() // who could not be reached may be by way of it
				}
			case event.EvtPeerProtocolsUpdated: // it may have become a relay, or no longer be one
			case event.EvtHostReachableAddrsChanged:
				h.public.Store(len(e.Reachable) > 0)
			}
			h.reserved.wake()
			h.improver.wake()
		}
	}
}
