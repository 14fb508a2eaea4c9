package streams

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// idleMargin is how much earlier than the server a client closes an idle stream, so that a request
// seldom meets a stream that is just being closed.
const idleMargin = 30 * time.Second

// pools keep the idle streams of a client.
type pools struct {
	notifiee *network.NotifyBundle
	conns    func(peer.ID) []network.Conn // the open ones

	mu     sync.Mutex // guards what follows
	closed bool
	pools  map[poolKey]*pool
}

type poolKey struct {
	peer   peer.ID
	family string
}

// pool is what a client has to one peer in one family.
type pool struct {
	idle  []*clientStream // the last one was used last
	calls chan struct{}   // one token for each call under way
	users int             // calls that hold or wait for a token
}

// slot waits until a call may begin. release must be called at its end.
func (p *pools) slot(ctx context.Context, k poolKey) (release func(), err error) {
	p.mu.Lock()
	pl := p.get(k)
	pl.users++
	p.mu.Unlock()
	leave := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		pl.users--
		p.drop(k, pl)
	}
	select {
	case pl.calls <- struct{}{}:
		return func() { <-pl.calls; leave() }, nil
	default:
	}
	select {
	case pl.calls <- struct{}{}:
		return func() { <-pl.calls; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

func (p *pools) get(k poolKey) *pool {
	if p.pools == nil {
		p.pools = make(map[poolKey]*pool)
	}
	pl := p.pools[k]
	if pl == nil {
		pl = &pool{calls: make(chan struct{}, clientCalls)}
		p.pools[k] = pl
	}
	return pl
}

// drop forgets a pool that is of no use; p.mu is held.
func (p *pools) drop(k poolKey, pl *pool) {
	if pl.users == 0 && len(pl.idle) == 0 && p.pools[k] == pl {
		delete(p.pools, k)
	}
}

// take returns an idle stream that was opened for these versions, nil when there is none.
func (p *pools) take(k poolKey, versions []string) *clientStream {
	for {
		st := p.pop(k, versions)
		if st == nil || !st.Conn().IsClosed() {
			return st
		}
		discard(st)
	}
}

func (p *pools) pop(k poolKey, versions []string) *clientStream {
	p.mu.Lock()
	defer p.mu.Unlock()
	pl := p.pools[k]
	if pl == nil {
		return nil
	}
	for i, st := range slices.Backward(pl.idle) {
		if slices.Equal(st.versions, versions) {
			pl.idle = slices.Delete(pl.idle, i, i+1)
			st.expires.Stop()
			p.drop(k, pl)
			return st
		}
	}
	return nil
}

// put keeps a stream for the next request, for a while.
func (p *pools) put(st *clientStream) {
	if cap(st.in) > growStep {
		st.in = nil
	}
	if p.outdated(st) || !p.push(st) {
		discard(st)
	}
}

func (p *pools) push(st *clientStream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || st.Conn().IsClosed() {
		return false
	}
	pl := p.get(st.key)
	pl.idle = append(pl.idle, st)
	wait := keptIdle - idleMargin
	if st.expires == nil {
		st.expires = time.AfterFunc(wait, func() { p.removeIf(st.key, func(s *clientStream) bool { return s == st }) })
	} else {
		st.expires.Reset(wait)
	}
	return true
}

// discard closes an idle stream; nobody else uses it. To close may block on a jammed connection, so
// the pools' lock must not be held.
func discard(st *clientStream) {
	if st.expires != nil {
		st.expires.Stop()
	}
	st.Close()
	putReader(st.br)
}

// removeIf closes the idle streams of k that drop wants gone.
func (p *pools) removeIf(k poolKey, drop func(*clientStream) bool) {
	for _, st := range p.cut(k, drop) {
		discard(st)
	}
}

// cut takes the idle streams of k that drop wants gone out of their pool.
func (p *pools) cut(k poolKey, drop func(*clientStream) bool) (gone []*clientStream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pl := p.pools[k]
	if pl == nil {
		return nil
	}
	pl.idle = slices.DeleteFunc(pl.idle, func(st *clientStream) bool {
		if !drop(st) {
			return false
		}
		gone = append(gone, st)
		return true
	})
	p.drop(k, pl)
	return gone
}

func (p *pools) keysOf(id peer.ID) []poolKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	var keys []poolKey
	for k := range p.pools {
		if k.peer == id {
			keys = append(keys, k)
		}
	}
	return keys
}

// connected drops idle streams over a relay when a direct connection appears, so that the next
// requests take the better path.
func (p *pools) connected(c network.Conn) {
	if relayed(c) {
		return
	}
	for _, k := range p.keysOf(c.RemotePeer()) {
		p.removeIf(k, func(st *clientStream) bool { return st.relayed })
	}
}

// relayed reports whether a connection goes over a relay.
func relayed(c network.Conn) bool {
	if c.Stat().Limited {
		return true
	}
	_, err := c.RemoteMultiaddr().ValueForProtocol(multiaddr.P_CIRCUIT)
	return err == nil
}

// outdated reports whether there is a better path by now than that of st.
func (p *pools) outdated(st *clientStream) bool {
	return st.relayed && slices.ContainsFunc(p.conns(st.key.peer), func(c network.Conn) bool { return !relayed(c) })
}

func (p *pools) disconnected(c network.Conn) {
	for _, k := range p.keysOf(c.RemotePeer()) {
		p.removeIf(k, func(st *clientStream) bool { return st.Conn() == c })
	}
}

func (p *pools) close() {
	p.mu.Lock()
	p.closed = true
	var keys []poolKey
	for k := range p.pools {
		keys = append(keys, k)
	}
	p.mu.Unlock()
	for _, k := range keys {
		p.removeIf(k, func(*clientStream) bool { return true })
	}
}
