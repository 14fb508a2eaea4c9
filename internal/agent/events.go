package agent

import (
	"context"
	"maps"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/keep"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/internal/brief"
)

// Event is something that happened to a machine, or to the fleet.
type Event struct {
	Time int64 `json:"time"` // Unix ms
	// Event is "state" for a machine's new state or path, "twin" when two machines run with one
	// identity and "single" when one of them is gone, "fleet" for new records or grants, and "lost"
	// when the listener was too slow for others. "cut" and "back" are for the controller that serves,
	// see [EventCut].
	Event  string     `json:"event"`
	Peer   peer.ID    `json:"peer,omitzero"`
	Name   string     `json:"name,omitzero"`
	State  keep.State `json:"state,omitzero"`
	Before keep.State `json:"before,omitzero"`
	Path   route.Path `json:"path,omitzero"`
	Addr   string     `json:"addr,omitzero"`
	Relay  string     `json:"relay,omitzero"`
	Error  string     `json:"error,omitzero"`
	Lost   int        `json:"lost,omitzero"` // how many events the listener has missed at this place
	// Why is how the controller was lost, AwaySeconds how long.
	Why         string  `json:"why,omitzero"`
	AwaySeconds float64 `json:"awaySeconds,omitzero"`
}

const (
	eventsQueued = 1024 // events that wait for a slow listener; of further ones it is told how many there were
	eventsTick   = time.Second
	maxUnsaved   = 1024 // peers that may yet be saved
)

// eventQueue is what one listener has yet to hear. It has one writer.
type eventQueue struct {
	c    chan Event
	lost int // since the last word of it
}

// put drops an event when the listener is that far behind.
func (q *eventQueue) put(e Event) {
	q.tellLost()
	if q.lost > 0 || !q.offer(e) {
		q.lost++
	}
}

// tellLost says how many were dropped, as soon as there is room to say so.
func (q *eventQueue) tellLost() {
	if q.lost > 0 && q.offer(Event{Event: "lost", Lost: q.lost}) {
		q.lost = 0
	}
}

func (q *eventQueue) offer(e Event) bool {
	e.Time = time.Now().UnixMilli()
	select {
	case q.c <- e:
		return true
	default:
		return false
	}
}

// collector puts what happens in a queue.
type collector struct {
	*targets
	q *eventQueue
}

// run begins with how it stands now, as far as a machine was tried. It never waits for the listener,
// so that nothing is lost but what the queue says is.
func (c *collector) run(ctx context.Context, now []keep.Standing, changes <-chan keep.Change) {
	for _, s := range now {
		if e, saved := c.stateEvent(keep.Change{Standing: s}); saved && s.State != keep.Known {
			c.q.put(e)
		}
	}
	papers := make(chan struct{}, 1)
	if c.fleet != nil {
		defer c.fleet.Notify(func() {
			select {
			case papers <- struct{}{}:
			default:
			}
		})()
	}
	// What those did last that are there, and not saved yet. Most are strangers, who come and go.
	unsaved := make(map[peer.ID]keep.Change)
	tick := time.NewTicker(eventsTick)
	defer tick.Stop()
	twins := make(map[peer.ID]bool)
	for {
		select {
		case <-ctx.Done():
			return
		case <-papers:
			c.q.put(Event{Event: "fleet"})
		case s := <-changes:
			e, saved := c.stateEvent(s)
			before, wasThere := unsaved[s.Peer]
			delete(unsaved, s.Peer)
			switch {
			case saved && wasThere:
				first, _ := c.stateEvent(before)
				c.q.put(first)
				c.q.put(e)
			case saved:
				c.q.put(e)
			case s.State != keep.Offline && len(unsaved) < maxUnsaved:
				unsaved[s.Peer] = s
			}
		case <-tick.C:
			c.q.tellLost()
			for _, e := range c.twinEvents(twins) {
				c.q.put(e)
			}
			for p, s := range unsaved {
				if e, saved := c.stateEvent(s); saved {
					delete(unsaved, p)
					c.q.put(e)
				}
			}
		}
	}
}

// twinEvents reports identities that two machines run with, and of those that have one again. was
// is what was told before.
func (c *collector) twinEvents(was map[peer.ID]bool) (out []Event) {
	now := make(map[peer.ID]bool)
	for _, t := range c.node.Twins() {
		now[t.Peer] = true
		if !was[t.Peer] {
			out = append(out, Event{Event: "twin", Peer: t.Peer, Name: c.known(t.Peer).Display(), Error: t.Words()})
		}
	}
	for p := range was {
		if !now[p] {
			out = append(out, Event{Event: "single", Peer: p, Name: c.known(p).Display()})
		}
	}
	clear(was)
	maps.Copy(was, now)
	return out
}

// stateEvent describes a saved machine.
func (c *collector) stateEvent(s keep.Change) (e Event, saved bool) {
	m, ok := c.node.Book().Get(s.Peer)
	if !ok || m.Hint {
		return e, false
	}
	e = Event{Event: "state", Peer: s.Peer, Name: targetOf(m).Display(), State: s.State, Before: s.Before, Path: s.Path, Addr: s.Addr}
	e.Relay = c.relayNameText(s.Addr)
	if s.Err != nil && s.State == keep.Offline {
		e.Error = brief.Why(c.machine(targetOf(m)), s.Err)
	}
	return e, true
}
