package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// The requests on the socket and the lines that answer them. Both ends are of
// one program, or of two versions of it: names are only added.

type execRequest struct {
	Operation  string         `json:"operation"`
	Payload    jsontext.Value `json:"payload,omitzero"`
	Bundle     string         `json:"bundle,omitzero"` // absolute path
	BundleName string         `json:"bundleName,omitzero"`
	TimeoutMs  int64          `json:"timeoutMs"`
	Selection  selectionLine  `json:"selection"`
}

type selectionLine struct {
	Names  []string `json:"names,omitzero"`
	All    bool     `json:"all,omitzero"`
	On     string   `json:"on,omitzero"`
	Best   int      `json:"best,omitzero"`
	WaitMs int64    `json:"waitMs,omitzero"`
}

func lineOfSelection(s Selection) selectionLine {
	return selectionLine{s.Names, s.All, s.On, s.Best, s.Wait.Milliseconds()}
}

func (l selectionLine) selection() Selection {
	return Selection{Names: l.Names, All: l.All, On: l.On, Best: l.Best, Wait: time.Duration(l.WaitMs) * time.Millisecond}
}

// socketLine is one line of an answer: one of its parts is set.
type socketLine struct {
	Result   *socketResult   `json:"result,omitzero"`
	Progress *socketProgress `json:"progress,omitzero"`
	Pushed   *socketPushed   `json:"pushed,omitzero"`
	Summary  *Summary        `json:"summary,omitzero"`
	Delivery *socketDelivery `json:"delivery,omitzero"`
	Addrs    []string        `json:"addrs,omitzero"`
	Peer     *PeerLine       `json:"peer,omitzero"`
	Event    *Event          `json:"event,omitzero"`
	Self     *Self           `json:"self,omitzero"`
	Error    string          `json:"error,omitzero"` // nobody was asked
	Unknown  bool            `json:"unknown,omitzero"`
}

type socketTarget struct {
	Peer    peer.ID `json:"peer"`
	Name    string  `json:"name,omitzero"`
	Claimed string  `json:"claimed,omitzero"`
}

func lineOfTarget(t Target) socketTarget { return socketTarget(t) }

func (l socketTarget) target() Target { return Target(l) }

type socketResult struct {
	Target  socketTarget   `json:"target"`
	Type    streams.Type   `json:"type,omitzero"`
	Payload jsontext.Value `json:"payload,omitzero"`
	Error   *streams.Error `json:"error,omitzero"`
	Done    bool           `json:"done,omitzero"`
	Feed    bool           `json:"feed,omitzero"`
}

type socketProgress struct {
	Target socketTarget `json:"target"`
	Sent   int64        `json:"sent"`
	Total  int64        `json:"total"`
}

type socketDelivery struct {
	Target socketTarget   `json:"target"`
	Error  *streams.Error `json:"error,omitzero"`
}

type socketPushed struct {
	Target    socketTarget `json:"target"`
	Timestamp time.Time    `json:"timestamp"`
	Stats     ops.Stats    `json:"stats"`
}

const (
	maxExecRequest = 2 * streams.MaxFrame
	// progressStep is how many bytes of an upload go by between two lines.
	progressStep = 1 << 20
	// hubQueue is how many pushed messages wait for a slow watch; further ones
	// it misses.
	hubQueue = 256
)

// Server is the socket of a long-lived controller: commands on the same
// machine go through it, over connections that are open already.
type Server struct {
	c *Controller

	mu      sync.Mutex // guards watches
	watches map[chan Pushed]struct{}
}

// NewServer returns the server of a controller that was made with Serve.
func NewServer(c *Controller) *Server {
	return &Server{c: c, watches: make(map[chan Pushed]struct{})}
}

// Serve listens on the socket and to pushed stats until ctx ends. ready is
// called when commands are taken.
func (s *Server) Serve(ctx context.Context, socket string, ready func() error) error {
	l, err := listenSocket(socket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/exec", s.exec)
	mux.HandleFunc("POST /v1/watch", s.watch)
	mux.HandleFunc("POST /v1/deliver", s.deliver)
	mux.HandleFunc("POST /v1/addrs", s.addrs)
	mux.HandleFunc("POST /v1/peers", s.peers)
	mux.HandleFunc("POST /v1/events", s.events)
	mux.HandleFunc("POST /v1/self", s.self)
	g, ctx := errgroup.WithContext(ctx)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error { return s.hear(ctx) })
	g.Go(func() error { return watchTwin(ctx, s.c.Node, s.c.cfg.StateDir, s.c.log, func(node.Twin, bool) {}) })
	if s.c.leaders != nil {
		g.Go(func() error { return s.c.leaders.run(ctx) })
	}
	if s.c.fleet != nil {
		g.Go(func() error { return untilLeft(ctx, s.c.fleet) })
	}
	if err := ready(); err != nil {
		return errors.Join(err, srv.Close(), g.Wait())
	}
	<-ctx.Done()
	if err := errors.Join(srv.Close(), g.Wait()); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// hear passes what workers push on to all watches.
func (s *Server) hear(ctx context.Context) error {
	pushed, err := s.c.Watch(ctx, Selection{All: true})
	if err != nil {
		return err
	}
	for p, err := range pushed {
		if err != nil {
			return err
		}
		s.mu.Lock()
		for w := range s.watches {
			select {
			case w <- p:
			default:
			}
		}
		s.mu.Unlock()
	}
	return nil
}

// lines writes one JSON object a line, each at once.
type lines struct {
	mu sync.Mutex
	w  http.ResponseWriter
}

func (l *lines) write(v socketLine) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.w.Write(append(b, '\n')); err != nil {
		return err
	}
	return http.NewResponseController(l.w).Flush()
}

// flush begins the answer, before there is anything to say.
func (l *lines) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return http.NewResponseController(l.w).Flush()
}

func (l *lines) fail(err error) {
	l.write(socketLine{Error: err.Error(), Unknown: errors.Is(err, ErrSelection)})
}

func readRequest(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxExecRequest))
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	out := &lines{w: w}
	var req execRequest
	if err := readRequest(w, r, &req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	job, err := req.job()
	if err != nil {
		out.fail(err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	emit := func(l socketLine) {
		if out.write(l) != nil {
			cancel() // the command is gone
		}
	}
	var told sync.Map
	job.Progress = func(t Target, sent, total int64) {
		if last, _ := told.Load(t.Peer); sent < total && last != nil && sent-last.(int64) < progressStep {
			return
		}
		told.Store(t.Peer, sent)
		emit(socketLine{Progress: &socketProgress{lineOfTarget(t), sent, total}})
	}
	s.c.refresh()
	sum, err := s.c.Exec(ctx, job, req.Selection.selection(), func(res Result) {
		emit(socketLine{Result: &socketResult{lineOfTarget(res.Target), res.Type, res.Payload, lineOfError(res.Err), res.Done, res.Feed}})
	})
	if err != nil {
		out.fail(err)
		return
	}
	emit(socketLine{Summary: &sum})
}

// lineOfError is an error in the form that travels; the summary tells apart
// what the code does not.
func lineOfError(err error) *streams.Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*streams.Error](err); ok {
		return e
	}
	return streams.Errorf(streams.CodeOf(err), "%s", err.Error())
}

func (r execRequest) job() (j Job, err error) {
	if j.Operation, err = Operations().Find(r.Operation); err != nil {
		return j, err
	}
	j.Payload, j.Timeout = r.Payload, time.Duration(r.TimeoutMs)*time.Millisecond
	if j.Operation.Shape == streams.ShapeUpload {
		j.Bundle, err = deploy.Open(r.Bundle, r.BundleName, 0)
	}
	return j, err
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	out := &lines{w: w}
	var sel selectionLine
	if err := readRequest(w, r, &sel); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.c.refresh()
	targets, err := s.c.pickAsking(r.Context(), sel.selection())
	if err != nil {
		out.fail(err)
		return
	}
	wanted := make(map[peer.ID]bool)
	for _, t := range targets {
		wanted[t.Peer] = true
	}
	ch := make(chan Pushed, hubQueue)
	s.mu.Lock()
	s.watches[ch] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watches, ch)
		s.mu.Unlock()
	}()
	if out.flush() != nil {
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case p := <-ch:
			if !sel.All && !wanted[p.Target.Peer] {
				continue
			}
			if out.write(socketLine{Pushed: &socketPushed{lineOfTarget(p.Target), p.Timestamp, p.Stats}}) != nil {
				return
			}
		}
	}
}

// deliver takes what another command has signed to the machines.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request) {
	out := &lines{w: w}
	var req News
	if err := readRequest(w, r, &req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	err := s.c.Deliver(r.Context(), req, func(d Delivery) {
		out.write(socketLine{Delivery: &socketDelivery{lineOfTarget(d.Target), lineOfError(d.Err)}})
	})
	if err != nil {
		out.fail(err)
	}
}

// addrs tells where tickets can be redeemed.
func (s *Server) addrs(w http.ResponseWriter, _ *http.Request) {
	out := &lines{w: w}
	addrs, err := s.c.Addrs()
	if err != nil {
		out.fail(err)
		return
	}
	out.write(socketLine{Addrs: addrs})
}
