package agent

import (
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/ops/forward"
)

// pooledFor is for how long the connections of a peer to one target have one entry in the record.
const pooledFor = time.Minute

// connectionNotes record the connections that were forwarded. The first one of a peer to a target is noted
// when it ends, and those that end within a minute after that in one entry: a page that is read all the
// time would push everything else out of the record.
type connectionNotes struct {
	note func(by peer.ID, words string)

	mu   sync.Mutex
	pool map[pooledBy]*pooled // guarded by mu; bounded by the owner's list and the peers with the right
}

type pooledBy struct {
	peer   peer.ID
	target string
}

type pooled struct {
	count   int
	in, out int64
	over    *time.Timer
}

func (c *connectionNotes) add(by peer.ID, conn forward.Connection) {
	k := pooledBy{by, conn.Target}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pool[k]; p != nil {
		p.count++
		p.in += conn.In
		p.out += conn.Out
		return
	}
	if c.pool == nil {
		c.pool = make(map[pooledBy]*pooled)
	}
	c.pool[k] = &pooled{over: time.AfterFunc(pooledFor, func() { c.flush(k) })}
	c.note(by, conn.String())
}

// flush notes what has come together.
func (c *connectionNotes) flush(k pooledBy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pool[k]
	if p == nil {
		return
	}
	delete(c.pool, k)
	p.over.Stop()
	if p.count > 0 {
		c.note(k.peer, fmt.Sprintf("%d more within a minute, %d bytes to it and %d from it: target=%s", p.count, p.in, p.out, k.target))
	}
}

// close notes all that is left.
func (c *connectionNotes) close() {
	c.mu.Lock()
	var all []pooledBy
	for k := range c.pool {
		all = append(all, k)
	}
	c.mu.Unlock()
	for _, k := range all {
		c.flush(k)
	}
}
