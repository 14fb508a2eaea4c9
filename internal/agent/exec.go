package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/host/node/twins"
	"github.com/seed-b490fa12/swarm/internal/brief"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/run"
	"github.com/seed-b490fa12/swarm/streams"
)

// Job is one operation to be done on machines.
type Job struct {
	Operation ops.Operation
	// Payload is the request's; for a deployment it is made from Bundle.
	Payload jsontext.Value
	Bundle  *deploy.Bundle
	// Timeout is how long a machine may take; for a log that is followed, until
	// its first lines; for an upload, until it takes further bytes, also if it is
	// cut off meanwhile, and a second more in all for each 64 KiB.
	Timeout time.Duration
	// Progress is told how much of an upload each machine was sent.
	Progress func(t Target, sent, total int64)
	// Asked is told of each machine before it is asked, and Chosen that there are no others. A nil
	// function is not called.
	Asked  func(Target)
	Chosen func()
	// Resumes, if not empty, are the machines that a controller which has ended was asking already: the
	// job goes on with these. Each is sent its payload in place of Payload, if it has one.
	Resumes map[peer.ID]jsontext.Value
	// Input is standard input for a command, in pieces of at most InputPiece bytes, of which each machine
	// gets a copy; it is closed at the end. Nil: there is none.
	Input <-chan []byte
	// Stop, when it is closed, has a command end; how it did is still told. Nil: there is no such wish.
	Stop <-chan struct{}
	// Sizes, for a command at a terminal, are what that of the asker has from now on. Nil: the command has no
	// terminal.
	Sizes <-chan run.Size
	// Transfer names a deployment, so that another controller can go on with it; empty for one that
	// ends with this one.
	Transfer string
}

// OutlivesCuts reports whether the job goes on over the next connection when it is cut.
func (j Job) OutlivesCuts() bool {
	return j.Operation.Shape == streams.ShapeUpload || j.Operation.Resumable(j.Payload)
}

// Result is one line of a job's outcome. A feed gives one for each item and a
// last one, with Done and no payload; every other operation gives one. What goes
// on over the next connection when it is cut gives one for each Event, too.
type Result struct {
	Target  Target         `json:"target"`
	Type    streams.Type   `json:"type,omitzero"`
	Payload jsontext.Value `json:"payload,omitzero"`
	Err     error          `json:"error,omitzero"` // set in the last result of a machine only
	Done    bool           `json:"done,omitzero"`  // this is the last result of a machine
	Feed    bool           `json:"feed,omitzero"`
	// Code, in the last result of a command, is its exit code as a shell tells it; nil where it is not
	// known, or does not count.
	Code *int `json:"code,omitzero"`
	// Event, Why and Away are set, and nothing else but Target, when the connection is lost or back.
	Event ResultEvent   `json:"event,omitzero"`
	Why   string        `json:"why,omitzero"`    // with EventCut: how it was lost
	Away  time.Duration `json:"awayMs,omitzero"` // with EventBack: how long it was lost
	// Resent, with EventBack, is how many bytes of an upload are sent again.
	Resent int64 `json:"resent,omitzero"`
}

// ResultEvent is what becomes of the connection of a job that goes on over the next one.
type ResultEvent string

// What becomes of the connection.
const (
	EventCut  ResultEvent = "cut"
	EventBack ResultEvent = "back"
)

// EventLine is an event as a line of JSON.
type EventLine struct {
	Peer  peer.ID     `json:"peer,omitzero"`
	Name  string      `json:"name,omitzero"`
	Event ResultEvent `json:"event"`
	// Why is how the connection was lost, AwaySeconds how long it was, and Resent how many bytes of an
	// upload are sent again.
	Why         string  `json:"why,omitzero"`
	AwaySeconds float64 `json:"awaySeconds,omitzero"`
	Resent      int64   `json:"resent,omitzero"`
}

// EventLine returns the event for a program.
func (r Result) EventLine() EventLine {
	return EventLine{r.Target.Peer, r.Target.Display(), r.Event, r.Why, r.Away.Seconds(), r.Resent}
}

// EventText returns the event for a person.
func (r Result) EventText() string {
	if r.Event == EventCut {
		return "connection lost, going on as soon as it is back"
	}
	return fmt.Sprintf("back after %v", max(r.Away.Round(100*time.Millisecond), 100*time.Millisecond))
}

// resumption tells of cuts on the way to a machine.
func resumption(t Target, out func(Result)) streams.Resumption {
	return streams.Resumption{
		Cut:  func(why error) { out(Result{Target: t, Event: EventCut, Why: why.Error()}) },
		Back: func(away time.Duration) { out(Result{Target: t, Event: EventBack, Away: away}) },
	}
}

// Summary counts the machines of a job by what came of them.
type Summary struct {
	OK          int
	Unreachable int // could not be reached, or did not answer in time
	Denied      int // 401 and 403
	Failed      int // any other error, or a command that ended with another code than 0
	// Unconfirmed are the machines that were left out until a person has looked at them.
	Unconfirmed int `json:",omitzero"`
	// Warnings are what the fleet's owner has to look at, such as grants that are about to end.
	Warnings []string `json:"warnings,omitzero"`
}

// Total is how many machines there were.
func (s Summary) Total() int { return s.OK + s.Unreachable + s.Denied + s.Failed }

// add counts the last result of a machine.
func (s *Summary) add(r Result) {
	if r.Code != nil && *r.Code != 0 && r.Err == nil {
		s.Failed++
		return
	}
	s.Add(r.Err)
}

// afterStop calls do when stop is closed, unless ctx ends before; what it returns ends the wait.
func afterStop(ctx context.Context, stop <-chan struct{}, do func()) (end func()) {
	if stop == nil {
		return func() {}
	}
	over := make(chan struct{})
	go func() {
		select {
		case <-stop:
			do()
		case <-over:
		case <-ctx.Done():
		}
	}()
	return func() { close(over) }
}

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
	most, choosing, inputs := c.cfg.FanOut, ctx, newCopies()
	if j.Operation.Shape == streams.ShapeBidi {
		var enough context.CancelFunc
		choosing, enough = context.WithCancel(ctx)
		defer enough()
		defer afterStop(ctx, j.Stop, enough)()
		most = mostCommands
	}
	asked := newFanOut(most)
	out := func(r Result) {
		mu.Lock()
		defer mu.Unlock()
		if r.Done {
			r.Err = c.brief(r.Target, r.Err)
			sum.add(r)
		}
		emit(r)
	}
	if j.Operation.Shape != streams.ShapeUpload {
		if err := j.Operation.Check(j.Payload); err != nil {
			return sum, fmt.Errorf("payload of %s: %w", j.Operation.Request, err)
		}
	}
	err := c.eachOf(choosing, j, s, func(t Target) {
		if j.Asked != nil {
			j.Asked(t)
		}
		var in *inputCopy
		if j.Input != nil {
			in = inputs.add()
		}
		asked.do(func() {
			if err := c.confirmed(ctx, s, t, j.Timeout); err != nil {
				if in != nil {
					in.leave()
				}
				out(Result{Target: t, Type: j.Operation.Reply, Err: err, Done: true})
				return
			}
			c.ask(ctx, j, t, in, out)
		})
	})
	if err == nil && j.Chosen != nil {
		j.Chosen()
	}
	if err == nil && j.Input != nil {
		passing, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { inputs.pass(passing, j.Input) })
		defer running.Wait()
		defer stop()
	}
	asked.wait()
	sum.Warnings = fleetdir.Warnings(c.fleet)
	return sum, c.leftOut(&sum, s, err)
}

// eachOf calls do for the machines that the job goes on with, or else for those selected.
func (c *Controller) eachOf(ctx context.Context, j Job, s Selection, do func(Target)) error {
	for p := range j.Resumes {
		do(c.known(p))
	}
	if len(j.Resumes) > 0 {
		return nil
	}
	_, err := c.each(ctx, s, j.Operation.Spec, do)
	return err
}

// ask does the job on one machine.
func (c *Controller) ask(ctx context.Context, j Job, t Target, in *inputCopy, out func(Result)) {
	err := c.held(j, t)
	if err != nil {
		if in != nil {
			in.leave()
		}
		out(Result{Target: t, Type: j.Operation.Reply, Err: err, Done: true, Feed: j.Operation.Shape == streams.ShapeFeed})
		return
	}
	switch j.Operation.Shape {
	case streams.ShapeFeed:
		err = c.askFeed(ctx, j, t, out)
		out(Result{Target: t, Type: j.Operation.Reply, Err: err, Done: true, Feed: true})
	case streams.ShapeBidi:
		last, exit, fault := runCommand(ctx, c, j, t, in, out)
		t.Claimed = c.claimed(t)
		if err = fault; err != nil {
			last = nil
		}
		out(Result{Target: t, Type: j.Operation.Reply, Payload: last, Err: err, Done: true, Feed: true, Code: code(exit, err)})
	case streams.ShapeUpload:
		var payload jsontext.Value
		payload, err = c.upload(ctx, j, t, out)
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
// followed: then it is for the first one, as there may be nothing to say for long, and what was cut
// goes on over the next connection behind the last item.
func (c *Controller) askFeed(ctx context.Context, j Job, t Target, out func(Result)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(j.Timeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	endless := j.Operation.Endless(j.Payload)
	begins := j.Payload
	goes := resumption(t, out)
	if from := j.Resumes[t.Peer]; len(from) > 0 {
		begins, goes.Begun = from, true
		timer.Stop()
	}
	var last jsontext.Value // nil before the first item
	ask := func(ctx context.Context, goesOn func()) (err error) {
		payload := begins
		if last != nil {
			if payload, err = j.Operation.After(payload, last); err != nil {
				return err
			}
		}
		for item, err := range j.Operation.Do(ctx, c.Node.Client, t.Peer, payload) {
			if err != nil {
				return err
			}
			if endless {
				timer.Stop()
			}
			goesOn()
			last = item
			t.Claimed = c.claimed(t)
			out(Result{Target: t, Type: j.Operation.Reply, Payload: item, Feed: true})
		}
		return nil
	}
	if !j.Operation.Resumable(j.Payload) {
		return timedOut(ctx, t, ask(ctx, func() {}))
	}
	return timedOut(ctx, t, goes.Do(ctx, c.Node.Client, t.Peer, ask))
}

// upload sends the bundle, over further connections if need be. The timeout begins anew with each
// piece sent; the wait for a direct path has one of its own, as that is no fault of the machine.
func (c *Controller) upload(ctx context.Context, j Job, t Target, out func(Result)) (jsontext.Value, error) {
	began, timeout := time.Now(), j.Timeout
	wait, enough := context.WithTimeout(ctx, timeout)
	defer enough()
	c.Node.AwaitDirect(wait, t.Peer)
	if errors.Is(wait.Err(), context.DeadlineExceeded) && c.Node.BestConn(t.Peer) == nil {
		return nil, streams.Errorf(streams.CodeTimeout, "no answer from %s in time", t.Label())
	}
	if c.Node.BestConn(t.Peer) == nil { // it has not answered so far
		timeout -= time.Since(began)
	}
	better, release := c.bulk.to(ctx, c.Node, t.Peer, j.Bundle.Manifest.Size())
	defer release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(timeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	all := time.AfterFunc(uploadTime(j.Timeout, j.Bundle.Manifest.Size()), func() { cancel(errSlowUpload) })
	defer all.Stop()
	var (
		resent int64
		moved  atomic.Int64
		watch  sync.WaitGroup
	)
	watch.Go(func() { c.stallWatch(t, better, moved.Load).run(ctx) })
	defer watch.Wait()
	defer cancel(nil)
	sending := deploy.Sending{
		Transfer:   j.Transfer,
		Resumption: resumption(t, func(r Result) { r.Resent = resent; resent = 0; out(r) }),
		Resent:     func(n int64) { resent += n },
		Via: func() *streams.Client {
			if better == nil || better.Network().Connectedness(t.Peer) != network.Connected {
				return nil
			}
			return better.Client
		},
		Progress: func(sent, total int64) {
			timer.Reset(j.Timeout)
			moved.Add(1)
			if j.Progress != nil {
				j.Progress(t, sent, total)
			}
		},
	}
	_, sending.Begun = j.Resumes[t.Peer]
	ack, err := sending.Send(ctx, c.Node.Client, t.Peer, j.Bundle)
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

// stallWatch watches over an upload to a machine, which may use a second node.
func (c *Controller) stallWatch(t Target, second *node.Node, moved func() int64) stallWatch {
	return stallWatch{
		moved: moved,
		conns: func() []network.Conn {
			conns := c.Node.Network().ConnsToPeer(t.Peer)
			if second != nil {
				conns = slices.Concat(conns, second.Network().ConnsToPeer(t.Peer))
			}
			return conns
		},
		ask: func(ctx context.Context, conn network.Conn) error {
			_, _, err := greet.Ping.DoOn(ctx, c.Node.Client, conn, greet.PingRequest{SentAt: time.Now().UnixMilli()})
			return err
		},
		dead: func(conn network.Conn) {
			c.log.Info("an upload is stuck on a connection", "peer", t.Peer, "addr", conn.RemoteMultiaddr())
		},
	}
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
		return PingResult{}, c.brief(t, Unreachable(ctx, t, err))
	}
	timing, err := c.ping(ctx, t.Peer)
	if err != nil {
		return PingResult{}, c.brief(t, err)
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

// brief is an error for a person, see [brief.Error].
func (c *Controller) brief(t Target, err error) error { return brief.Error(c.machine(t), err) }

// machine is one for [brief].
func (c *targets) machine(t Target) brief.Machine {
	m := brief.Machine{Peer: t.Peer, Name: t.Name}
	if e, ok := c.node.Book().Get(t.Peer); ok && e.LastSeen > 0 {
		m.Seen = time.UnixMilli(e.LastSeen)
	}
	return m
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
		if dialled(conn) {
			addrs = append(addrs, conn.RemoteMultiaddr().String())
		}
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
