package refpow

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/seed-b490fa12/swarm/internal/refpow/internal/stratum"
)

const (
	dialTime = 10 * time.Second
	// idleTime is how long a pool may say nothing; pools send a job every minute or so.
	idleTime = 5 * time.Minute
	// answerTime is after how long without an answer we introduce ourselves again.
	answerTime = 3 * time.Second
	// introTime is how long a pool may take to answer that.
	introTime = 30 * time.Second
	// lastingTime is how long a session is that shows the pool to be one worth coming back to.
	lastingTime = time.Minute
	// maxSkipped is how many messages in a row may be unreadable.
	maxSkipped = 1000
	// maxOpen bounds the shares without an answer, and those waiting to be sent.
	maxOpen = 256
	// maxUnwelcome is how many shares in a row may be refused because the pool does not know us.
	maxUnwelcome = 10
	// maxWords is how much of a pool's own words goes into the log.
	maxWords = 200

	subscribeID, authorizeID, firstShareID = 1, 2, 3
)

// session is one connection to the pool.
type session struct {
	rig   *rig
	conn  *stratum.Conn
	found chan share

	// These are for the reading goroutine alone.
	began      time.Time
	intro      introduction
	earned     bool // a share was accepted
	skipped    int  // messages in a row that could not be read
	unwelcome  int  // shares in a row that were refused because the pool does not know us
	extranonce stratum.Extranonce
	difficulty float64
	told       bool         // the difficulty
	early      *stratum.Job // it came before our subscription was answered
	work       *work        // what is on the board

	mu   sync.Mutex
	open map[int]struct{} // guarded by mu: shares without an answer
}

func (r *rig) newSession(conn net.Conn) *session {
	return &session{
		rig: r, conn: stratum.NewConn(conn), found: make(chan share, maxOpen), began: time.Now(), difficulty: 1,
		open: make(map[int]struct{}),
	}
}

// session talks with the pool until the connection or ctx ends. It reports whether that lasted: a
// pool that lets us go at once, again and again, is not to be called each second.
func (r *rig) session(ctx context.Context) (lasted bool, err error) {
	conn, err := r.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	s := r.newSession(conn)
	r.log.Printf("connected to %s", r.pool)
	ctx, cancel := context.WithCancel(ctx)
	submitted := make(chan struct{})
	go func() { defer close(submitted); s.submit(ctx, conn) }()
	err = s.talk()
	cancel()
	<-submitted
	return s.earned || s.work != nil && time.Since(s.began) >= lastingTime, err
}

// dialPool is the way to the pool outside of tests.
func (r *rig) dialPool(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if r.pool.TLS {
		return (&tls.Dialer{}).DialContext(ctx, "tcp", r.pool.Address())
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", r.pool.Address())
}

// talk introduces us and reads until the connection fails, or the pool shows that it is none.
func (s *session) talk() error {
	for {
		if err := s.introduce(); err != nil {
			return err
		}
		m, err := s.conn.Read(s.patience())
		if err == nil {
			err = s.take(m)
		}
		switch {
		case err == nil:
			s.skipped = 0
		case errors.Is(err, stratum.ErrLine):
			if err := s.skip(err); err != nil {
				return err
			}
		case errors.Is(err, os.ErrDeadlineExceeded) && !s.introduced():
		default:
			return err
		}
	}
}

// skip leaves out a message that cannot be read: it says nothing about those before and after it.
func (s *session) skip(err error) error {
	if s.skipped++; s.skipped >= maxSkipped {
		return fmt.Errorf("the pool sent %d lines in a row that cannot be read, at last: %w", s.skipped, err)
	}
	if n := s.rig.skipped.Add(1); n&(n-1) == 0 { // not a line for each
		s.rig.log.Printf("left out what cannot be read, %d in all: %.*v", n, maxWords, err)
	}
	return nil
}

// take handles one message.
func (s *session) take(m stratum.Message) error {
	switch m.Method {
	case "":
		return s.answer(m)
	case "mining.set_difficulty":
		return s.setDifficulty(m)
	case "mining.set_extranonce":
		e, err := stratum.ParseExtranonce(m, s.extranonce)
		s.extranonce = e // holds for the jobs to come, as before where it cannot be read
		return err
	case "mining.notify":
		return s.notify(m)
	}
	return s.reply(m)
}

// reply answers a request. Methods we do not know are left alone; client.reconnect is one of them,
// as a pool has no say in where we mine.
func (s *session) reply(m stratum.Message) error {
	switch m.Method {
	case "mining.ping", "client.ping", "ping":
		return s.conn.Answer(m.ID, "pong", nil)
	case "client.get_version", "mining.get_version":
		return s.conn.Answer(m.ID, Name+"/"+version, nil)
	case "client.show_message":
		s.rig.log.Printf("the pool says %.*q", maxWords, m.Params)
		if m.Asks() {
			return s.conn.Answer(m.ID, true, nil)
		}
		return nil
	}
	if m.Asks() {
		return s.conn.Answer(m.ID, nil, []any{-3, "Method not found", nil})
	}
	return nil
}

func (s *session) setDifficulty(m stratum.Message) error {
	var n float64
	ok := false
	if v := stratum.Values(m.Params, "difficulty"); len(v) > 0 {
		n, ok = stratum.Float(v[0])
	}
	if !ok || n <= 0 {
		return fmt.Errorf("%w: difficulty %.40q", stratum.ErrLine, m.Params)
	}
	first := !s.told
	s.difficulty, s.told = n, true
	if first && s.work != nil {
		s.post(s.work.job) // that one was at a difficulty nobody had told
	}
	return nil // holds for the jobs to come
}

func (s *session) notify(m stratum.Message) error {
	job, err := stratum.ParseJob(m)
	if err != nil {
		return err
	}
	if !s.intro.subscribed {
		s.early = &job
		return nil
	}
	s.post(job)
	return nil
}

// submit sends shares until ctx ends. When sending fails it closes the connection, which ends the
// reader.
func (s *session) submit(ctx context.Context, conn net.Conn) {
	for id := firstShareID; ; id++ {
		select {
		case <-ctx.Done():
			return
		case sh := <-s.found:
			s.opened(id)
			if err := s.conn.Call(id, "mining.submit", s.rig.cfg.User, sh.work.job.Name(), hex.EncodeToString(sh.extranonce2),
				stratum.Hex32(sh.work.job.Time), stratum.Hex32(sh.nonce)); err != nil {
				_ = conn.Close()
				return
			}
		}
	}
}

// opened waits for the answer to a share, but for no more than maxOpen: some pools give none.
func (s *session) opened(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id-maxOpen)
	s.open[id] = struct{}{}
}

func (s *session) closed(id int) (ours bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ours = s.open[id]
	delete(s.open, id)
	return ours
}

// words are the pool's reasons, made safe for a log line.
func words(m stratum.Message) string { return fmt.Sprintf("%.*q", maxWords, m.Words()) }
