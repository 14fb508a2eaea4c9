package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/streams"
)

// Delivery is what came of taking news of the fleet to one member.
type Delivery struct {
	Target Target `json:"target"`
	Err    error  `json:"error,omitzero"` // nil: it has the news; else it gets them at its next contact
}

// News is what Deliver takes to members, beside the records of the fleet.
type News struct {
	// To are the members; none means all.
	To []peer.ID `json:"to,omitzero"`
	// About are members whose new grants the others keep for them: those who
	// listen nowhere.
	About []peer.ID `json:"about,omitzero"`
	// Keep are statements that a member has to keep to be told: others than the root's can be too many
	// for it.
	Keep []trust.ID `json:"keep,omitzero"`
	// TimeoutMs is how long a member may take, in milliseconds.
	TimeoutMs int64 `json:"timeoutMs"`
}

// Deliver reads what is new in the state directory and takes it to the members.
func (c *Controller) Deliver(ctx context.Context, n News, emit func(Delivery)) error {
	f := c.fleet
	if f == nil {
		return trust.ErrNoFleet
	}
	c.Refresh()
	peers := n.To
	if len(peers) == 0 {
		peers = c.reachable()
	}
	timeout := time.Duration(n.TimeoutMs) * time.Millisecond
	var mu sync.Mutex
	told := newFanOut(c.cfg.FanOut)
	for _, p := range peers {
		if p == c.Node.ID() {
			continue
		}
		told.do(func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			err := c.Node.BringUpToDate(ctx, p, n.About...)
			if err == nil && !f.Revoked(p) {
				err = c.Node.Keeps(ctx, p, n.Keep)
			}
			if err != nil {
				err = c.brief(c.known(p), Unreachable(ctx, c.known(p), err))
			}
			mu.Lock()
			defer mu.Unlock()
			emit(Delivery{c.known(p), err})
		})
	}
	told.wait()
	return ctx.Err()
}

// greeted remembers how far the audit log of a machine went when it was met. Of
// machines that are no members nothing is remembered, except on request.
func (c *Controller) greeted(info greet.PeerInfo) {
	if info.Grant == nil || info.Hello.Audit == nil || info.Hello.Audit.Count == 0 {
		return
	}
	if err := audit.HeadsOf(c.cfg.StateDir).Add(info.ID, audit.Head(*info.Hello.Audit)); err != nil {
		c.log.Warn("the end of the audit log could not be remembered", "peer", info.ID, "err", err)
	}
}

// AuditReport is what a machine reports of its audit log.
type AuditReport struct {
	Target  Target
	Entries []audit.Entry
	Head    *audit.Head
	// Broken says that the log does not hold, or lacks what the machine had told
	// before.
	Broken string
	// Refused is who was refused there.
	Refused []audit.Refused
	Err     error
}

// Audit asks machines who did what on them, many at a time, and remembers how far each
// log went. It is told of each machine as it answers.
func (c *Controller) Audit(
	ctx context.Context, s Selection, r audit.Request, timeout time.Duration, emit func(AuditReport),
) (Summary, error) {
	h := audit.HeadsOf(c.cfg.StateDir)
	var (
		mu  sync.Mutex
		sum Summary
	)
	asked := newFanOut(c.cfg.FanOut)
	_, err := c.each(ctx, s, audit.GetAudit.Spec(), func(t Target) {
		asked.do(func() {
			rep := AuditReport{Target: t}
			rep.ask(ctx, c, h, r, timeout)
			mu.Lock()
			defer mu.Unlock()
			sum.Add(rep.Err)
			emit(rep)
		})
	})
	asked.wait()
	return sum, c.leftOut(&sum, s, err)
}

func (rep *AuditReport) ask(ctx context.Context, c *Controller, h audit.Heads, r audit.Request, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	known, err := h.Get(rep.Target.Peer)
	if err != nil {
		c.log.Warn("what the machine told before cannot be read", "peer", rep.Target.Peer, "err", err)
	}
	r.Heads = known
	if rep.Err = rep.read(ctx, c.Node.Client, r); rep.Err != nil {
		return
	}
	rep.compare(known)
	if rep.Broken != "" {
		rep.Broken += "; or a second machine has this identity"
		if words := c.twinWords(rep.Target.Peer); words != "" {
			rep.Broken += ", as is known: " + words
		}
	}
	if rep.Head != nil && rep.Broken == "" {
		keep := h.Add
		if r.Verify { // and so is all before it
			keep = func(p peer.ID, head audit.Head) error { return h.Put(p, head) }
		}
		if err := keep(rep.Target.Peer, *rep.Head); err != nil {
			c.log.Warn("the end of the audit log could not be remembered", "peer", rep.Target.Peer, "err", err)
		}
	}
}

// read takes the answer, and no more of it than a machine may answer.
func (rep *AuditReport) read(ctx context.Context, cl *streams.Client, r audit.Request) error {
	payload, err := json.Marshal(r)
	if err != nil {
		return err
	}
	for raw, err := range audit.Operation(nil).Do(ctx, cl, rep.Target.Peer, payload) {
		var item audit.Answer
		if err == nil {
			err = json.Unmarshal(raw, &item)
		}
		if err != nil {
			rep.Entries = nil // a part looks like the whole
			return timedOut(ctx, rep.Target, err)
		}
		rep.Entries = append(rep.Entries, item.Entries...)
		if item.Head != nil {
			rep.Head = item.Head
		}
		rep.Refused = append(rep.Refused, item.Refused...)
		if item.Intact != nil && !*item.Intact {
			rep.Broken = item.Reason
		}
	}
	return nil
}

// compare holds the end of the log against what the machine had told before: a
// worker that lies about Verify cannot bring back what it cut off.
func (rep *AuditReport) compare(known []audit.Head) {
	if len(known) == 0 || rep.Head == nil || rep.Broken != "" {
		return
	}
	if was := known[len(known)-1]; rep.Head.Count < was.Count || rep.Head.Count == was.Count && rep.Head.Hash != was.Hash {
		rep.Broken = fmt.Sprintf("the log had %d entries when the machine was asked last, and has %d now: "+
			"it was cut or begun anew", was.Count, rep.Head.Count)
	}
}
