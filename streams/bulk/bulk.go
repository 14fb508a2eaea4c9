// Package bulk keeps long transfers from filling the queues of a connection, so that what else uses the
// link does not wait behind them:
//
//	links := bulk.Links{Line: line, Open: open}
//	link := links.Begin(conn)
//	defer links.End(conn)
//	_, err := io.Copy(bulk.NewWriter(ctx, stream, link), body)
package bulk

import (
	"cmp"
	"context"
	"io"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	firstWindow = 12 << 10 // bytes under way before anything is known of the link
	leastWindow = 8 << 10  // half a second of a link of 128 kbit/s
	mostWindow  = 16 << 20 // a link that holds as much without delay needs no bound
	mostDelay   = 300 * time.Millisecond
	parts       = 4 // of what may be under way, after each of which there is a question
	// lossTrips is for how many round trips a lost packet holds up what follows it: until it is missed,
	// is sent again, and once more where it is lost again.
	lossTrips = 3
)

// Link bounds how many bytes of long transfers are under way on one connection, so that what else
// uses the link does not wait behind them, neither here nor in the buffers of relays and routers,
// which take all they are sent. It asks for echoes over the same connection: one shows that what
// was written before it has left the queues, and how long these are.
type Link struct {
	echoes interface {
		ask() (answer func() error, err error)
	}
	line    func() (queued time.Duration, resent uint64, known bool) // see Links.Line
	ctx     context.Context                                          // ends with the last transfer
	cancel  context.CancelFunc
	running sync.WaitGroup
	wanted  chan struct{} // has a token when there is to be another echo
	asked   chan question

	users int // guarded by Links.mu

	mu      sync.Mutex // guards what follows
	window  window
	sent    int64         // bytes
	marked  int64         // of these, when an echo was wanted last
	arrived int64         // of these, as far as is known
	moved   chan struct{} // closed when any of this changes what may be sent
	started bool          // the goroutines that ask
	ready   bool          // the first echo is on its way, ahead of what fills the queue
	free    bool          // nothing needs to be bounded, or nothing can be learned
}

// question is one for an echo.
type question struct {
	at     time.Time
	sent   int64  // before it
	resent uint64 // packets, before it
	answer func() error
}

func newLink(e interface{ ask() (func() error, error) }, line func() (time.Duration, uint64, bool)) *Link {
	b := &Link{
		echoes: e, line: line, window: window{size: firstWindow}, moved: make(chan struct{}),
		wanted: make(chan struct{}, 1), asked: make(chan question, 4*parts),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

func (b *Link) close() {
	b.mu.Lock()
	b.started = true // nothing begins any more
	b.mu.Unlock()
	b.cancel()
	b.running.Wait()
}

// part is how many bytes are written at a time, at most.
func (b *Link) part() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free {
		return mostWindow
	}
	return b.window.size / parts
}

// Wait blocks until n more bytes may be under way, or until ctx ends, and counts them as sent.
func (b *Link) Wait(ctx context.Context, n int) {
	for {
		moved := b.admit(n)
		if moved == nil {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// admit counts n bytes as sent if there is room for them; else it returns what is closed when there
// may be. Nothing is asked before it matters: most feeds are short.
func (b *Link) admit(n int) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free {
		return nil
	}
	under := int(b.sent - b.arrived)
	room := under == 0 || under+n <= b.window.size
	if part := int(b.sent-b.marked) + n; part >= b.window.size/parts || !room {
		b.want()
	}
	if !room || b.started && !b.ready {
		return b.moved
	}
	b.sent += int64(n)
	return nil
}

// want has another echo asked for; b.mu is held.
func (b *Link) want() {
	if !b.started {
		b.started = true
		b.running.Go(b.askAll)
		b.running.Go(b.learnAll)
	}
	if b.ready && b.marked == b.sent {
		return // the one that is on its way shows all
	}
	b.marked = b.sent
	select {
	case b.wanted <- struct{}{}:
	default:
	}
}

func (b *Link) askAll() {
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-b.wanted:
		}
		b.mu.Lock()
		e := question{at: time.Now(), sent: b.sent}
		b.mu.Unlock()
		_, e.resent, _ = b.line()
		var err error
		if e.answer, err = b.echoes.ask(); err != nil {
			b.giveUp()
			return
		}
		b.mu.Lock()
		if !b.ready {
			b.ready = true
			b.tell()
		}
		b.mu.Unlock()
		select {
		case b.asked <- e:
		case <-b.ctx.Done():
			return
		}
	}
}

func (b *Link) learnAll() {
	for {
		var e question
		select {
		case <-b.ctx.Done():
			return
		case e = <-b.asked:
		}
		if err := e.answer(); err != nil {
			b.giveUp()
			return
		}
		b.mu.Lock()
		b.arrived = e.sent
		b.window.add(e.at, time.Now(), b.excuse(e))
		b.tell()
		done := b.window.size >= mostWindow
		b.mu.Unlock()
		if done {
			b.giveUp()
			return
		}
	}
}

// excuse is how much of the time that an echo took packets that were lost, and sent again, explain: what
// arrives behind one waits for it. What the line itself knows of its queues they do not.
func (b *Link) excuse(e question) time.Duration {
	queued, resent, known := b.line()
	if !known || resent == e.resent {
		return 0
	}
	waited := time.Since(e.at) - b.window.least - queued
	return max(min(waited, lossTrips*b.window.least), 0)
}

// giveUp bounds nothing any more.
func (b *Link) giveUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = true
	b.tell()
	b.cancel()
}

// tell wakes those who wait; b.mu is held.
func (b *Link) tell() {
	close(b.moved)
	b.moved = make(chan struct{})
}

// window is how many bytes may be under way: twice as many in each round trip until the queues
// grow, and then so many that they add mostDelay to it.
type window struct {
	size  int
	least time.Duration // of the round trips; 0 before the first
	full  bool          // the queues have grown
	cut   time.Time     // an echo of before has waited in the queues of before
	uncut int           // the size before the cut; 0 when that is no more to be restored
}

// add takes an echo. excused is how much of its time no queue explains.
func (w *window) add(asked, answered time.Time, excused time.Duration) {
	trip := answered.Sub(asked) - excused
	w.least = max(min(trip, cmp.Or(w.least, trip)), 1)
	queued := trip - w.least
	if w.uncut > 0 && asked.After(w.cut) && queued <= mostDelay/4 {
		// What is under way now waits for nobody, which the cut was not enough for: the echo before was
		// late because a packet was lost, and had to be sent again.
		w.size, w.uncut, w.full = max(w.size, w.uncut), 0, false
	}
	switch {
	case queued > mostDelay:
		w.full = true
		if asked.After(w.cut) {
			fits := float64(w.size) * float64(w.least+mostDelay) / float64(trip)
			w.uncut = w.size
			w.size, w.cut = max(int(fits), w.size/2, leastWindow), answered
		}
	case queued > mostDelay/2:
		w.full = true
	case trip < mostDelay/16:
		w.size *= 2 // whatever fills these queues adds little
	case excused > 0 && queued <= mostDelay/4:
		w.size *= 2 // it would have grown in the round trips that loss has cost
	case w.full:
		w.size += w.size / (4 * parts)
	default:
		w.size += w.size / parts
	}
}

// Links are the connections with long transfers under way. Their methods may be called concurrently.
type Links struct {
	// Line returns what is known of the line to the next machine of a connection: by how much what waits
	// in queues adds to a round trip, and how many packets were sent again.
	Line func(c network.Conn) (queued time.Duration, resent uint64, known bool)
	// Open opens a stream of a protocol over a connection.
	Open func(ctx context.Context, c network.Conn, id protocol.ID) (network.Stream, error)

	mu    sync.Mutex
	conns map[network.Conn]*Link
}

// Begin is called by each long transfer, and End when it is over.
func (l *Links) Begin(c network.Conn) *Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.conns[c]
	if b == nil {
		e := &echoes{conn: c, dial: l.Open}
		b = newLink(e, func() (time.Duration, uint64, bool) { return l.Line(c) })
		e.ctx = b.ctx
		if l.conns == nil {
			l.conns = make(map[network.Conn]*Link)
		}
		l.conns[c] = b
	}
	b.users++
	return b
}

// End is called when a transfer that called Begin is over.
func (l *Links) End(c network.Conn) {
	l.mu.Lock()
	b := l.conns[c]
	b.users--
	last := b.users == 0
	if last {
		delete(l.conns, c)
	}
	l.mu.Unlock()
	if last {
		b.close()
	}
}

// NewWriter returns a writer to a stream that waits as its connection's link wants, until ctx ends.
func NewWriter(ctx context.Context, to io.Writer, l *Link) io.Writer { return writer{ctx, to, l} }

// writer writes to a stream as its connection's link allows.
type writer struct {
	ctx context.Context
	io.Writer
	link *Link
}

func (w writer) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		n := min(len(p), w.link.part())
		w.link.Wait(w.ctx, n)
		n, err = w.Writer.Write(p[:n])
		written, p = written+n, p[n:]
	}
	return written, err
}

// echoProtocol answers with the echoSize bytes that it was sent: libp2p's ping, which every node
// serves.
const (
	echoProtocol = protocol.ID("/ipfs/ping/1.0.0")
	echoSize     = 32

	// A stream is used for so long, and kept so long for another echo. The peer ends it after 30 s,
	// or 10 s after an echo.
	echoLife = 15 * time.Second
	echoIdle = 5 * time.Second
)

// echoes asks the peer of a connection for them.
type echoes struct {
	conn         network.Conn
	dial         func(context.Context, network.Conn, protocol.ID) (network.Stream, error)
	ctx          context.Context // of all streams
	stream, old  network.Stream
	began, asked time.Time
}

func (e *echoes) ask() (answer func() error, err error) {
	now := time.Now()
	if e.stream == nil || now.Sub(e.began) > echoLife || now.Sub(e.asked) > echoIdle {
		if err := e.open(now); err != nil {
			return nil, err
		}
	}
	e.asked = now
	s := e.stream
	if _, err := s.Write(make([]byte, echoSize)); err != nil {
		return nil, err
	}
	return func() error {
		_, err := io.ReadFull(s, make([]byte, echoSize))
		return err
	}, nil
}

// open begins another stream. Answers may be under way on the one before.
func (e *echoes) open(now time.Time) error {
	if e.old != nil {
		e.old.Reset()
	}
	e.old = e.stream
	s, err := e.dial(e.ctx, e.conn, echoProtocol)
	if err != nil {
		return err
	}
	e.stream, e.began = s, now
	context.AfterFunc(e.ctx, func() { s.Reset() })
	return nil
}
