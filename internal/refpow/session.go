package refpow

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/refpow/internal/stratum"
	"github.com/seed-b490fa12/swarm/ops/miner"
)

const (
	dialTime = 10 * time.Second
	// idleTime is how long a pool may say nothing; pools send a job every minute or so.
	idleTime = 5 * time.Minute
	// maxOpen bounds the shares without an answer, and those waiting to be sent.
	maxOpen = 256
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
	welcome     bool // the pool took us
	extranonce1 []byte
	size2       int
	difficulty  float64

	mu   sync.Mutex
	open map[int]struct{} // guarded by mu: shares without an answer
}

// session talks with the pool until the connection or ctx ends. It says whether the pool took us at
// all.
func (r *rig) session(ctx context.Context) (welcome bool, err error) {
	conn, err := r.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	s := &session{
		rig: r, conn: stratum.NewConn(conn), found: make(chan share, maxOpen), difficulty: 1, open: make(map[int]struct{}),
	}
	r.log.Printf("connected to %s", r.pool)
	ctx, cancel := context.WithCancel(ctx)
	submitted := make(chan struct{})
	go func() { defer close(submitted); s.submit(ctx, conn) }()
	err = s.talk()
	cancel()
	<-submitted
	return s.welcome, err
}

func (r *rig) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if r.pool.TLS {
		return (&tls.Dialer{}).DialContext(ctx, "tcp", r.pool.Address())
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", r.pool.Address())
}

// talk introduces us and reads until something fails.
func (s *session) talk() error {
	if err := s.conn.Call(subscribeID, "mining.subscribe", Name+"/"+version); err != nil {
		return err
	}
	for {
		m, err := s.conn.Read(idleTime)
		if err != nil {
			return err
		}
		if err := s.take(m); err != nil {
			return err
		}
	}
}

// take handles one message. Methods we do not know are left alone; client.reconnect is one of them,
// as a pool has no say in where we mine.
func (s *session) take(m stratum.Message) error {
	switch m.Method {
	case "":
		return s.answer(m)
	case "mining.set_difficulty":
		return m.Args(&s.difficulty) // holds for the jobs to come
	case "mining.set_extranonce":
		return s.setExtranonce(m.Args)
	case "mining.notify":
		return s.notify(m)
	}
	return nil
}

func (s *session) answer(m stratum.Message) error {
	id, err := strconv.Atoi(strings.Trim(string(m.ID), `"`))
	if err != nil {
		return fmt.Errorf("%w: answer with ID %.40s", stratum.ErrLine, m.ID)
	}
	switch id {
	case subscribeID:
		if failed(m) {
			return fmt.Errorf("the pool refused to subscribe us: %s", words(m))
		}
		var subscriptions any
		if err := s.setExtranonce(func(into ...any) error {
			return m.Results(append([]any{&subscriptions}, into...)...)
		}); err != nil {
			return err
		}
		return s.conn.Call(authorizeID, "mining.authorize", s.rig.cfg.User, s.rig.cfg.Password)
	case authorizeID:
		if failed(m) {
			return fmt.Errorf("the pool refused the user or password: %s", words(m))
		}
		s.welcome = true
		s.rig.state.Store(miner.Mining)
	default:
		s.shareAnswered(id, m)
	}
	return nil
}

func (s *session) setExtranonce(args func(into ...any) error) error {
	var extranonce1 string
	var size2 int
	if err := args(&extranonce1, &size2); err != nil {
		return err
	}
	b, err := hex.DecodeString(extranonce1)
	if err != nil || len(b) > stratum.MaxExtranonce || size2 < 1 || size2 > stratum.MaxExtranonce {
		return fmt.Errorf("%w: extranonce %.40q with %d bytes to follow", stratum.ErrLine, extranonce1, size2)
	}
	s.extranonce1, s.size2 = b, size2
	return nil
}

func (s *session) notify(m stratum.Message) error {
	job, err := stratum.ParseJob(m)
	if err != nil {
		return err
	}
	if s.size2 == 0 {
		return errors.New("the pool sent a job before it answered our subscription")
	}
	s.rig.log.Printf("job %.64q at difficulty %g", job.ID, s.difficulty)
	s.rig.board.post(&work{
		job: job, target: stratum.TargetOf(s.difficulty), extranonce1: s.extranonce1, size2: s.size2, found: s.found,
	})
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
			if !s.opened(id) {
				s.rig.log.Printf("share dropped: the pool has not answered %d of them", maxOpen)
				continue
			}
			if err := s.conn.Call(id, "mining.submit", s.rig.cfg.User, sh.work.job.ID, hex.EncodeToString(sh.extranonce2),
				stratum.Hex32(sh.work.job.Time), stratum.Hex32(sh.nonce)); err != nil {
				_ = conn.Close()
				return
			}
		}
	}
}

func (s *session) opened(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= maxOpen {
		return false
	}
	s.open[id] = struct{}{}
	return true
}

func (s *session) shareAnswered(id int, m stratum.Message) {
	s.mu.Lock()
	_, ours := s.open[id]
	delete(s.open, id)
	s.mu.Unlock()
	r := s.rig
	switch {
	case !ours:
	case failed(m):
		n := r.rejected.Add(1)
		r.log.Printf("share rejected: %s (%d accepted, %d rejected)", words(m), r.accepted.Load(), n)
	default:
		n := r.accepted.Add(1)
		r.log.Printf("share accepted (%d accepted, %d rejected)", n, r.rejected.Load())
	}
}

// failed reports whether an answer is a no: an error, or the result false.
func failed(m stratum.Message) bool {
	var no bool
	return len(m.Error) > 0 && m.Error.Kind() != 'n' || len(m.Result) == 0 ||
		json.Unmarshal(m.Result, &no) == nil && !no
}

// words are the pool's reasons, made safe for a log line.
func words(m stratum.Message) string {
	var list []any
	if json.Unmarshal(m.Error, &list) == nil && len(list) > 1 {
		return fmt.Sprintf("%.*q", maxWords, fmt.Sprint(list[1]))
	}
	return fmt.Sprintf("%.*q", maxWords, string(m.Error))
}
