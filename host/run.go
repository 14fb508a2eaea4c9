package host

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/sync/errgroup"

	"github.com/seed-b490fa12/swarm/host/dial"
	"github.com/seed-b490fa12/swarm/host/discovery"
	"github.com/seed-b490fa12/swarm/host/limits"
)

const eventQueue = 256

// Run looks for peers, keeps the connections to bootstrap and kept peers up, and saves good
// addresses. It returns when ctx ends or the Host is closed, and then nothing that it started is
// running. A second Run waits for the first.
func (h *Host) Run(ctx context.Context) error {
	h.running.Lock()
	defer h.running.Unlock()
	if h.life.Err() != nil {
		return ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()
	events, err := watchPeers(h.EventBus())
	if err != nil {
		return err
	}
	defer h.watchConns()()
	group, ctx := errgroup.WithContext(ctx)
	for _, run := range h.parts() {
		group.Go(func() error { return run(ctx) })
	}
	for _, f := range h.finders {
		group.Go(func() error { return h.follower.Run(ctx, f) })
	}
	group.Go(func() error {
		h.followPeers(ctx, events)
		return nil
	})
	return group.Wait()
}

// parts are what runs with the Host.
func (h *Host) parts() []func(context.Context) error {
	parts := []func(context.Context) error{h.keeper.Run, h.again.Run, h.sightings.Run, h.improver.Run}
	if !h.cfg.NoListen {
		parts = append(parts, h.quiet.Run)
	}
	if !h.cfg.NoListen && !h.cfg.Relay {
		parts = append(parts, h.reserved.Run)
	}
	// A node with fixed addresses to listen on is on a machine that stays where it is, or in a
	// simulated network.
	if len(h.cfg.Listen) == 0 || h.cfg.NoListen || slices.ContainsFunc(h.cfg.Listen, manet.IsIPUnspecified) {
		parts = append(parts, func(ctx context.Context) error {
			return h.interfaces.Run(ctx, h.EventBus(), h.wakeAll, h.log)
		})
	}
	return parts
}

// wakeAll makes all parts look at once: peers that could not be reached may be reachable now.
func (h *Host) wakeAll() {
	h.follower.Moved()
	h.changes.Happened()
	h.keeper.WakeAll()
	h.reserved.Wake()
	h.improver.Wake()
}

// addFinders sets up the ways to find peers that the Config asks for.
func (h *Host) addFinders() error {
	h.reported = discovery.NewReported("peers")
	h.finders = append(h.finders, discovery.Known("saved", &h.changes, h.book.Recent), h.reported)
	if h.cfg.DHT != DHTOff {
		dht, err := discovery.NewDHT(limits.Guard(h.Host, h.cfg.Admit), discovery.DHTConfig{
			Prefix: h.cfg.ProtocolPrefix, Server: h.cfg.DHT == DHTServer, Enough: h.enough(), Logger: h.log,
		})
		if err != nil {
			return err
		}
		h.dht = dht
		h.lookup = &dial.Lookup{
			DHT: dht, Dial: h.dial,
			Others: func() []peer.AddrInfo { return slices.Concat(h.keeper.List(), h.book.Recent()) },
		}
		h.finders = append(h.finders, dht)
	}
	if h.cfg.MDNS {
		h.finders = append(h.finders, discovery.NewMDNS(h.Host, discovery.MDNSConfig{
			Service: mdnsService(string(h.cfg.ProtocolPrefix)), Announce: !h.cfg.NoListen,
			Changes: &h.changes, Logger: h.log,
		}))
	}
	if h.cfg.Beacon != nil {
		cfg := *h.cfg.Beacon
		cfg.Prefix, cfg.Announce, cfg.Logger = string(h.cfg.ProtocolPrefix), !h.cfg.NoListen, h.log
		cfg.Changes = &h.changes
		beacon, err := discovery.NewBeacon(h.Host, cfg)
		if err != nil {
			return err
		}
		h.finders = append(h.finders, beacon)
	}
	return nil
}

// leaderPatience is how long a member without a connection to one that it keeps looks for no others:
// over a full link a handshake takes seconds, and twenty nodes that search meanwhile keep it full.
const leaderPatience = 10 * time.Second

// enough returns a function, for one goroutine, that reports whether this node needs no other peers:
// a node of a network with members while it is connected with one that it keeps. Through that one it
// is found, and so are others.
func (h *Host) enough() func() bool {
	missed := time.Now()
	return func() bool {
		kept := h.keeper.List()
		if h.cfg.Member == nil || len(kept) == 0 {
			return false
		}
		if slices.ContainsFunc(kept, func(p peer.AddrInfo) bool {
			return h.Network().Connectedness(p.ID) == network.Connected
		}) {
			missed = time.Now()
		}
		return time.Since(missed) < leaderPatience
	}
}

// found passes on what discovery finds.
func (h *Host) found(f discovery.Found) {
	h.standings.Found(f.ID)
	h.improver.Wake() // it may be nearer than we thought
	if h.cfg.OnFound != nil {
		h.cfg.OnFound(f)
	}
}

// watchPeers subscribes to what Run acts on.
func watchPeers(bus event.Bus) (event.Subscription, error) {
	sub, err := bus.Subscribe(
		[]any{
			new(event.EvtPeerConnectednessChanged), new(event.EvtPeerIdentificationCompleted),
			new(event.EvtPeerProtocolsUpdated), new(event.EvtHostReachableAddrsChanged),
		},
		eventbus.Name("swarm-host"), eventbus.BufSize(eventQueue))
	if err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	return sub, nil
}

// watchConns updates the states of peers with their connections, until stop is called.
func (h *Host) watchConns() (stop func()) {
	changed := func(_ network.Network, c network.Conn) {
		h.standings.Connected(c.RemotePeer(), h.BestConn(c.RemotePeer()))
		h.reserved.Wake()
		h.improver.Wake()
	}
	n := &network.NotifyBundle{ConnectedF: changed, DisconnectedF: changed}
	h.Network().Notify(n)
	for _, p := range h.Network().Peers() { // those that came before Run
		h.standings.Connected(p, h.BestConn(p))
		if h.circuits.Usable(p) {
			h.circuits.Learn(p)
		}
	}
	return func() { h.Network().StopNotify(n) }
}

// followPeers passes on to the parts what happens with connections.
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
					h.sightings.Left(e.Peer)
					h.learned.Left(e.Peer)
				}
				h.keeper.Wake(e.Peer)
			case event.EvtPeerIdentificationCompleted:
				h.identified(e)
			case event.EvtPeerProtocolsUpdated: // it may have become a relay, or no longer be one
			case event.EvtHostReachableAddrsChanged:
				h.public.Store(len(e.Reachable) > 0)
			}
			h.reserved.Wake()
			h.improver.Wake()
		}
	}
}

func (h *Host) identified(e event.EvtPeerIdentificationCompleted) {
	h.sightings.Identified(e)
	if h.observers.Note(e) {
		views{h}.moved(e.Conn.RemotePeer(), e.ObservedAddr)
	}
	h.learned.Note(e, h.Network().ConnsToPeer(e.Peer))
	if h.Network().Connectedness(e.Peer) == network.NotConnected {
		h.learned.Left(e.Peer) // it was quicker than the event
	}
	if h.circuits.Usable(e.Peer) {
		h.circuits.Learn(e.Peer)
		h.keeper.WakeAll() // peers that could not be reached may be reachable through it
	}
}
