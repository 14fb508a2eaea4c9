package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// Job is one operation to be done on machines.
type Job struct {
	Operation ops.Operation
	// Payload is the request's; for a deployment it is made from Bundle.
	Payload jsontext.Value
	Bundle  *deploy.Bundle
	// Timeout is how long a machine may take; for a log that is followed, until
	// its first lines; for an upload, until it takes further bytes, and a second
	// more in all for each 64 KiB.
	Timeout time.Duration
	// Progress is told how much of an upload each machine was sent.
	Progress func(t Target, sent, total int64)
}

// Result is one line of a job's outcome. A feed gives one for each item and a
// last one, with Done and no payload; every other operation gives one.
type Result struct {
	Target  Target         `json:"target"`
	Type    streams.Type   `json:"type,omitzero"`
	Payload jsontext.Value `json:"payload,omitzero"`
	Err     error          `json:"error,omitzero"` // set in the last result of a machine only
	Done    bool           `json:"done,omitzero"`  // this is the last result of a machine
	Feed    bool           `json:"feed,omitzero"`
}

// Summary counts the machines of a job by what came of them.
type Summary struct {
	OK          int
	Unreachable int // could not be reached, or did not answer in time
	Denied      int // 401 and 403
	Failed      int // any other error
	// Unconfirmed are the machines that were left out until a person has looked at them.
	Unconfirmed int `json:",omitzero"`
	// Warnings are what the fleet's owner has to look at, such as grants that are about to end.
	Warnings []string `json:"warnings,omitzero"`
}

// Total is how many machines there were.
func (s Summary) Total() int { return s.OK + s.Unreachable + s.Denied + s.Failed }

// Add counts one machine.
func (s *Summary) Add(err error) {
	switch code := streams.CodeOf(err); {
	case err == nil:
		s.OK++
	case errors.Is(err, streams.ErrUnreachable), code == streams.CodeTimeout, code == streams.CodeUnavailable:
		s.Unreachable++
	case code == streams.CodeUnauthenticated, code == streams.CodeForbidden:
		s.Denied++
	default:
		s.Failed++
	}
}

// Exec does the job on every selected machine, many at a time, and hands each
// result to emit as it arrives, one at a time. An error means that no machine
// was asked.
func (c *Controller) Exec(ctx context.Context, j Job, s Selection, emit func(Result)) (Summary, error) {
	var (
		mu  sync.Mutex
		sum Summary
	)
	asked := newFanOut(c.cfg.FanOut)
	out := func(r Result) {
		mu.Lock()
		defer mu.Unlock()
		if r.Done {
			sum.Add(r.Err)
		}
		emit(r)
	}
	if j.Operation.Shape != streams.ShapeUpload {
		if err := j.Operation.Check(j.Payload); err != nil {
			return sum, fmt.Errorf("payload of %s: %w", j.Operation.Request, err)
		}
	}
	_, err := c.each(ctx, s, j.Operation.Spec, func(t Target) {
		asked.do(func() {
			if err := c.confirmed(ctx, s, t, j.Timeout); err != nil {
				out(Result{Target: t, Type: j.Operation.Reply, Err: err, Done: true})
				return
			}
			c.ask(ctx, j, t, out)
		})
	})
	asked.wait()
	sum.Warnings = fleetdir.Warnings(c.fleet)
	return sum, c.leftOut(&sum, s, err)
}

// ask does the job on one machine.
func (c *Controller) ask(ctx context.Context, j Job, t Target, out func(Result)) {
	err := c.held(j, t)
	if err != nil {
		out(Result{Target: t, Type: j.Operation.Reply, Err: err, Done: true, Feed: j.Operation.Shape == streams.ShapeFeed})
		return
	}
	switch j.Operation.Shape {
	case streams.ShapeFeed:
		err = c.askFeed(ctx, j, t, out)
		out(Result{Target: t, Type: j.Operation.Reply, Err: err, Done: true, Feed: true})
	case streams.ShapeUpload:
		var payload jsontext.Value
		payload, err = c.upload(ctx, j, t)
		out(Result{Target: t, Type: j.Operation.Reply, Payload: payload, Err: err, Done: true})
	default:
		var payload jsontext.Value
		payload, err = c.call(ctx, j, t)
		t.Claimed = c.claimed(t)
		out(Result{Target: t, Type: j.Operation.Reply, Payload: payload, Err: err, Done: true})
	}
	if err == nil {
		c.save(t.Peer)
	}
}

// claimed is what the machine calls itself, as far as it told us.
func (c *Controller) claimed(t Target) string {
	for _, i := range c.Node.Peers() {
		if i.ID == t.Peer && i.Hello.Name != "" {
			return i.Hello.Name
		}
	}
	return t.Claimed
}

func (c *Controller) call(ctx context.Context, j Job, t Target) (jsontext.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, j.Timeout)
	defer cancel()
	return j.Operation.Call(ctx, c.Node.Client, t.Peer, j.Payload)
}

// askFeed passes the items on. The timeout is for all of them, but where a log is
// followed: then it is for the first one, as there may be nothing to say for long.
func (c *Controller) askFeed(ctx context.Context, j Job, t Target, out func(Result)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(j.Timeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	follow := j.Operation.Endless(j.Payload)
	for item, err := range j.Operation.Do(ctx, c.Node.Client, t.Peer, j.Payload) {
		if follow {
			timer.Stop()
		}
		if err != nil {
			return timedOut(ctx, t, err)
		}
		t.Claimed = c.claimed(t)
		out(Result{Target: t, Type: j.Operation.Reply, Payload: item, Feed: true})
	}
	return nil
}

// upload sends the bundle. The timeout begins anew with each piece sent; the wait for a direct path
// has one of its own, as that is no fault of the machine.
func (c *Controller) upload(ctx context.Context, j Job, t Target) (jsontext.Value, error) {
	wait, enough := context.WithTimeout(ctx, j.Timeout)
	defer enough()
	c.Node.AwaitDirect(wait, t.Peer)
	if errors.Is(wait.Err(), context.DeadlineExceeded) && c.Node.BestConn(t.Peer) == nil {
		return nil, streams.Errorf(streams.CodeTimeout, "no answer from %s in time", t.Label())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(j.Timeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	all := time.AfterFunc(uploadTime(j.Timeout, j.Bundle.Manifest.Size()), func() { cancel(errSlowUpload) })
	defer all.Stop()
	ack, err := deploy.Send(ctx, c.Node.Client, t.Peer, j.Bundle, func(sent, total int64) {
		timer.Reset(j.Timeout)
		if j.Progress != nil {
			j.Progress(t, sent, total)
		}
	})
	if errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), errSlowUpload) {
		return nil, streams.Errorf(streams.CodeTimeout, "%s takes less than %d KiB a second; to give it longer: --timeout",
			t.Label(), uploadRate>>10)
	}
	if err != nil {
		return nil, timedOut(ctx, t, err)
	}
	payload, err := json.Marshal(ack)
	return payload, err
}

// uploadRate is how many bytes of an upload a machine has to take in a second, on average
// beside the timeout: it could make it last for days by taking one now and then.
const uploadRate = 64 << 10

var errSlowUpload = errors.New("the upload is too slow")

// uploadTime is how long an upload may take in all.
func uploadTime(timeout time.Duration, size int64) time.Duration {
	return timeout + time.Duration(size/uploadRate+1)*time.Second
}

// timedOut tells our own timeout apart from a cancel by the user.
func timedOut(ctx context.Context, t Target, err error) error {
	if errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return streams.Errorf(streams.CodeTimeout, "no answer from %s in time", t.Label())
	}
	return err
}

// PingResult is the answer to a ping.
type PingResult struct {
	RTT time.Duration
	// ClockOffset is how far the machine's clock is ahead of ours, as if it had
	// answered in the middle of the round trip.
	ClockOffset time.Duration
	Addr        string // of the machine, as we are connected with it
}

// Ping measures the way to a machine.
func (c *Controller) Ping(ctx context.Context, t Target, timeout time.Duration) (PingResult, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if _, err := c.Node.Greeting(ctx, t.Peer); err != nil {
		return PingResult{}, Unreachable(ctx, t, err)
	}
	timing, err := c.ping(ctx, t.Peer)
	if err != nil {
		return PingResult{}, err
	}
	r := PingResult{RTT: timing.RTT(), ClockOffset: timing.ClockOffset()}
	for _, conn := range c.Node.Network().ConnsToPeer(t.Peer) {
		r.Addr = conn.RemoteMultiaddr().String()
	}
	return r, nil
}

// AskStats asks a machine for something that needs a right.
func (c *Controller) AskStats(ctx context.Context, p peer.ID) error {
	_, err := ops.GetStats.Do(ctx, c.Node.Client, p, ops.StatsRequest{})
	return err
}

// ping asks a machine for its time.
func (c *Controller) ping(ctx context.Context, p peer.ID) (streams.Timing, error) {
	sent := time.Now()
	pong, err := greet.Ping.Do(ctx, c.Node.Client, p, greet.PingRequest{SentAt: sent.UnixMilli()})
	return streams.Timing{Sent: sent, Received: time.Now(), Answered: time.UnixMilli(pong.ReceivedAt)}, err
}

// Unreachable puts an error of connecting in the terms of a call.
func Unreachable(ctx context.Context, t Target, err error) error {
	if _, ok := errors.AsType[*streams.Error](err); ok {
		return err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return streams.Errorf(streams.CodeTimeout, "no answer from %s in time", t.Label())
	}
	return streams.Errorf(streams.CodeUnavailable, "offline or cut off: %w", err)
}

// held is the answer to an operation that has an effect on a machine whose identity two machines
// run with, or nil: nobody knows which of the two would do it.
func (c *Controller) held(j Job, t Target) error {
	if !j.Operation.Verb.HasEffect() {
		return nil
	}
	if twin, ok := c.Node.Twin(t.Peer); ok {
		return twins.Error(twin)
	}
	return nil
}

// save puts a machine that took a command into the address book.
func (c *Controller) save(p peer.ID) {
	var addrs []string
	for _, conn := range c.Node.Network().ConnsToPeer(p) {
		addrs = append(addrs, conn.RemoteMultiaddr().String())
	}
	claimed := ""
	for _, i := range c.Node.Peers() {
		if i.ID == p {
			claimed = i.Hello.Name
		}
	}
	old, known := c.Node.Book().Get(p)
	if known && !old.Hint && (claimed == "" || old.ClaimedName == claimed) && len(old.Addrs) > 0 {
		return
	}
	_, err := c.Node.Book().Update(p, func(m *book.Entry) {
		m.Hint = false
		if claimed != "" {
			m.ClaimedName, m.Role = claimed, RoleWorker
		}
		for _, a := range addrs {
			if !slices.Contains(m.Addrs, a) {
				m.Addrs = append([]string{a}, m.Addrs[:min(len(m.Addrs), 8)]...)
			}
		}
		m.LastSeen = time.Now().UnixMilli()
	})
	if err != nil {
		c.log.Warn("a machine could not be saved", "peer", p, "err", err)
	}
}
