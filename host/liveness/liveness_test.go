package liveness

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	"github.com/seed-b490fa12/swarm/internal/backoff"
)

// link is a connection that counts what arrives.
type link struct {
	network.Conn
	meter
	closed bool
}

func (l *link) IsClosed() bool { return l.closed }

func (l *link) As(target any) bool {
	m, ok := target.(**meter)
	if ok {
		*m = &l.meter
	}
	return ok
}

// answersAfter asks a machine at the other end of a link, where each answer takes that long.
func answersAfter(took time.Duration) Question {
	return Question{Ask: func(ctx context.Context) error {
		backoff.Wait(ctx, took)
		return ctx.Err()
	}}
}

func TestLives(t *testing.T) {
	refused := errors.New("refused")
	for _, tt := range []struct {
		name    string
		before  []time.Duration // that earlier answers took
		takes   time.Duration   // the answer
		err     error           // of the answer
		arrives time.Duration   // when some byte arrives; 0 is never
		lives   bool
		decided time.Duration // at most
	}{
		{"quick", nil, time.Millisecond, nil, 0, true, time.Millisecond},
		{"refused", nil, time.Second / 2, refused, 0, true, time.Second / 2},
		{"gone, quick before", []time.Duration{time.Millisecond}, time.Hour, nil, 0, false, 7 * time.Second},
		{"gone, never measured", nil, time.Hour, nil, 0, false, 7 * time.Second},
		{"gone, slow before", []time.Duration{4 * time.Second}, time.Hour, nil, 0, false, 56 * time.Second},
		{"slow, as before", []time.Duration{4 * time.Second, 2 * time.Second}, 6 * time.Second, nil, 0, true, 6 * time.Second},
		{"late, and something else arrives", []time.Duration{time.Millisecond}, time.Hour, nil, 2500 * time.Millisecond, true, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, c := new(Watch), new(link)
				for _, took := range tt.before {
					w.answered(c, took)
				}
				if tt.arrives > 0 {
					time.AfterFunc(tt.arrives, func() { c.read.Add(1) })
				}
				began := time.Now()
				lives := w.Lives(t.Context(), c, Question{Ask: func(ctx context.Context) error {
					return errors.Join(answersAfter(tt.takes).Ask(ctx), tt.err)
				}})
				if took := time.Since(began); lives != tt.lives || took > tt.decided {
					t.Errorf("it lives: %v, after %v, want %v after %v at most", lives, took, tt.lives, tt.decided)
				}
			})
		})
	}
}

// On a link that turned slow the wait grows with the answers that came too late.
func TestWaitGrowsWithLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := new(Watch), new(link)
		w.answered(c, time.Millisecond)
		for range 3 {
			time.AfterFunc(500*time.Millisecond, func() { c.read.Add(1) })
			if !w.Lives(t.Context(), c, answersAfter(time.Hour)) {
				t.Fatal("it is dead, though something has arrived")
			}
		}
		if p := w.patience(c); p < 2*time.Second || p > most {
			t.Errorf("the next answer has %v, want more than 2s", p)
		}
		if w.answered(c, time.Hour); w.patience(c) != most {
			t.Errorf("the next answer has %v, want %v at most", w.patience(c), most)
		}
	})
}

// Where packets are lost an answer has more time: it may have to be sent several times.
func TestLossyLinkHasMoreTime(t *testing.T) {
	for _, tt := range []struct {
		sent, lost uint64
		want       time.Duration
	}{
		{0, 0, least},
		{100, 10, least},
		{100, 11, lossy},
		{3, 2, lossy},
	} {
		if got := leastFor(tt.sent, tt.lost); got != tt.want {
			t.Errorf("%d of %d lost: %v, want %v", tt.lost, tt.sent, got, tt.want)
		}
	}
}

func TestEndOfTheNodeIsNoDeath(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if !new(Watch).Lives(ctx, new(link), answersAfter(time.Hour)) {
		t.Error("dead, though nobody waited")
	}
}

// Connections that are gone are forgotten.
func TestWatchForgets(t *testing.T) {
	w := new(Watch)
	for range 100 {
		c := new(link)
		w.answered(c, time.Second)
		c.closed = true
	}
	if len(w.conns) > 1 {
		t.Errorf("%d connections are remembered", len(w.conns))
	}
}

// What arrives over a muxed connection is counted, and the muxer's own connection is still there.
func TestMetered(t *testing.T) {
	a, b := net.Pipe()
	muxer := Metered(yamux.DefaultTransport)
	ours, err := muxer.NewConn(a, false, &network.NullScope{})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := muxer.NewConn(b, true, &network.NullScope{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := theirs.OpenStream(t.Context())
	if err == nil {
		_, err = s.Write([]byte("hello"))
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := ours.AcceptStream()
	if err == nil {
		_, err = got.Read(make([]byte, 5))
	}
	if err != nil {
		t.Fatal(err)
	}
	var m *meter
	if !ours.As(&m) || m.read.Load() < 5 {
		t.Error("what has arrived is not counted")
	}
	if err := errors.Join(ours.Close(), theirs.Close()); err != nil {
		t.Error(err)
	}
}

// Over QUIC the library counts.
func TestHeardOverQUIC(t *testing.T) {
	hosts := make([]host.Host, 2)
	for i := range hosts {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.DisableRelay())
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		hosts[i] = h
	}
	if err := hosts[0].Connect(t.Context(), peer.AddrInfo{ID: hosts[1].ID(), Addrs: hosts[1].Addrs()}); err != nil {
		t.Fatal(err)
	}
	c := hosts[0].Network().ConnsToPeer(hosts[1].ID())[0]
	before := new(Watch).Heard(c)
	if res := <-ping.Ping(t.Context(), hosts[0], hosts[1].ID()); res.Error != nil {
		t.Fatal(res.Error)
	}
	if after := new(Watch).Heard(c); after <= before {
		t.Errorf("%d before an answer, %d after it", before, after)
	}
}

// TestSurvives: after a change of the network one answer that does not come is enough.
func TestSurvives(t *testing.T) {
	for _, tt := range []struct {
		name    string
		takes   time.Duration
		arrives time.Duration
		lives   bool
		decided time.Duration
	}{
		{"quick", time.Millisecond, 0, true, time.Millisecond},
		{"gone", time.Hour, 0, false, time.Second},
		{"late, and something else arrives", time.Hour, 500 * time.Millisecond, true, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, c := new(Watch), new(link)
				w.answered(c, time.Millisecond)
				if tt.arrives > 0 {
					time.AfterFunc(tt.arrives, func() { c.read.Add(1) })
				}
				began := time.Now()
				lives := w.Survives(t.Context(), c, answersAfter(tt.takes))
				if took := time.Since(began); lives != tt.lives || took > tt.decided {
					t.Errorf("it lives: %v, after %v, want %v after %v at most", lives, took, tt.lives, tt.decided)
				}
			})
		})
	}
}

// TestOvertaken: a silent connection is dead as soon as its peer has answered elsewhere, and nothing
// arrived for twice as long as its round trips suggest.
func TestOvertaken(t *testing.T) {
	const never = time.Hour
	for _, tt := range []struct {
		name      string
		before    time.Duration // that an earlier answer took; 0 is none
		takes     time.Duration // the answer
		elsewhere time.Duration // the answer in the other way
		arrives   time.Duration // when some byte arrives; 0 is never
		looked    bool          // for the peer in another way
		lives     bool
		decided   time.Duration
	}{
		{"quick", 0, time.Millisecond, 0, 0, false, true, time.Millisecond},
		{"busy, and then it answers", 0, 200 * time.Millisecond, never, 0, true, true, 200 * time.Millisecond},
		{"gone, and quick elsewhere", 0, never, time.Millisecond, 0, true, false, overtaken},
		{"gone, and slow elsewhere, too", 0, never, quickly + 1, 0, true, false, 7 * least},
		{"slow by nature, and as slow elsewhere", 400 * time.Millisecond, never, 6*400*time.Millisecond - 1, 0, true, false, 3600*time.Millisecond - 1},
		{"gone, and nowhere else", 0, never, never, 0, true, false, 7 * least},
		{"slow by nature", 400 * time.Millisecond, 1100 * time.Millisecond, 0, 0, false, true, 1100 * time.Millisecond},
		{"slow by nature, and gone", 400 * time.Millisecond, never, 0, 0, true, false, 2400 * time.Millisecond},
		{"something arrives before", 0, never, 0, 100 * time.Millisecond, false, true, least},
		{"something arrives meanwhile", 0, never, 0, 200 * time.Millisecond, true, true, least},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, c := new(Watch), new(link)
				if tt.before > 0 {
					w.answered(c, tt.before)
				}
				if tt.arrives > 0 {
					time.AfterFunc(tt.arrives, func() { c.read.Add(1) })
				}
				looked := false
				q := answersAfter(tt.takes)
				q.Elsewhere = func(ctx context.Context) bool {
					looked = true
					return backoff.Wait(ctx, tt.elsewhere)
				}
				began := time.Now()
				lives := w.Lives(t.Context(), c, q)
				if took := time.Since(began); lives != tt.lives || took != tt.decided {
					t.Errorf("it lives: %v, after %v, want %v after %v", lives, took, tt.lives, tt.decided)
				}
				if looked != tt.looked {
					t.Errorf("looked for elsewhere: %v", looked)
				}
			})
		})
	}
}

// What was lost lately takes longer to arrive: then only answers that do not come tell.
func TestNotOvertakenWhereMuchIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := new(Watch), new(link)
		q := answersAfter(2 * time.Second)
		q.Elsewhere = func(context.Context) bool { return true }
		if !w.answers(t.Context(), c, q, misses, lossy) {
			t.Error("it is dead, though it has only lost packets")
		}
	})
}
