package pool

import (
	"encoding/hex"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/seed-b490fa12/swarm/internal/refpow/internal/stratum"
)

const (
	// idleTime is how long a miner may say nothing before it is dropped.
	idleTime = 10 * time.Minute
	// extranonce2Bytes is how many bytes of the coinbase a miner may choose.
	extranonce2Bytes = 4
	// maxWorkerName bounds the name a worker authorizes with, in bytes.
	maxWorkerName = 384
)

// verdict is a stratum error, as pools number them; 0 is acceptance.
type verdict int

const (
	accepted     verdict = 0
	badRequest   verdict = 20
	stale        verdict = 21
	duplicate    verdict = 22
	tooEasy      verdict = 23
	unauthorized verdict = 24
)

func (v verdict) String() string {
	switch v {
	case accepted:
		return "accepted"
	case stale:
		return "stale job"
	case duplicate:
		return "duplicate share"
	case tooEasy:
		return "low difficulty share"
	case unauthorized:
		return "unauthorized worker"
	}
	return "bad request"
}

// conn is one miner. Beside ready, and the writing, it belongs to its serving goroutine.
type conn struct {
	*stratum.Conn
	nc          net.Conn
	extranonce1 []byte
	worker      string      // empty until authorized
	ready       atomic.Bool // gets new jobs
}

func (p *Pool) serve(c *conn) {
	defer func() {
		_ = c.nc.Close()
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	for {
		m, err := c.Read(idleTime)
		if err == nil {
			err = p.handle(c, m)
		}
		if err != nil {
			p.cfg.Logger.Debug("miner left", "worker", c.worker, "err", err)
			return
		}
	}
}

func (p *Pool) handle(c *conn, m stratum.Message) error {
	switch m.Method {
	case "mining.subscribe":
		session := hex.EncodeToString(c.extranonce1)
		return c.Answer(m.ID, []any{
			[][]string{{"mining.set_difficulty", session}, {"mining.notify", session}}, session, extranonce2Bytes,
		}, nil)
	case "mining.authorize":
		return p.authorize(c, m)
	case "mining.submit":
		return p.submit(c, m)
	}
	return c.Answer(m.ID, nil, []any{int(badRequest), fmt.Sprintf("unknown method %.40q", m.Method), nil})
}

func (p *Pool) authorize(c *conn, m stratum.Message) error {
	var worker, password string
	if err := m.Args(&worker, &password); err != nil || worker == "" || len(worker) > maxWorkerName {
		return c.refuse(m, badRequest)
	}
	if p.cfg.Password != "" && password != p.cfg.Password || !p.enrol(worker) {
		return c.refuse(m, unauthorized)
	}
	c.worker = worker
	p.cfg.Logger.Info("miner joined", "worker", worker)
	if err := c.Answer(m.ID, true, nil); err != nil {
		return err
	}
	if err := c.Call(0, "mining.set_difficulty", p.cfg.Difficulty); err != nil {
		return err
	}
	c.ready.Store(true) // from here NewJob tells it; twice is better than not at all
	p.mu.Lock()
	job := p.job
	p.mu.Unlock()
	return c.Call(0, "mining.notify", job.Params()...)
}

// enrol makes a place for the worker's counts; false when there is none.
func (p *Pool) enrol(worker string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts, known := p.workers[worker]
	if !known && len(p.workers) >= MaxWorkers {
		return false
	}
	p.workers[worker] = counts
	return true
}

func (p *Pool) submit(c *conn, m stratum.Message) error {
	if c.worker == "" {
		return c.refuse(m, unauthorized)
	}
	v := p.judge(c, m)
	if full := p.count(c.worker, v); full {
		defer p.NewJob()
	}
	if v != accepted {
		return c.refuse(m, v)
	}
	return c.Answer(m.ID, true, nil)
}

// count adds a share to the worker's; full says that the job has had enough of them.
func (p *Pool) count(worker string, v verdict) (full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	counts := p.workers[worker]
	if v == accepted {
		counts.Accepted++
	} else {
		counts.Rejected++
	}
	p.workers[worker] = counts
	return len(p.seen) >= MaxShares
}

// judge checks a share: accepted when the work was really done.
func (p *Pool) judge(c *conn, m stratum.Message) verdict {
	var worker, jobID, extranonce2, ntime, nonce string
	if err := m.Args(&worker, &jobID, &extranonce2, &ntime, &nonce); err != nil {
		return badRequest
	}
	e2, err := hex.DecodeString(extranonce2)
	if err != nil || len(e2) != extranonce2Bytes {
		return badRequest
	}
	t, err1 := stratum.ParseHex32(ntime)
	n, err2 := stratum.ParseHex32(nonce)
	switch {
	case err1 != nil || err2 != nil:
		return badRequest
	case worker != c.worker:
		return unauthorized
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if jobID != p.job.ID {
		return stale
	}
	if t != p.job.Time {
		return badRequest // we gave no leave to roll the time
	}
	header := p.job.Header(c.extranonce1, e2)
	if hash := header.Hash(n); !p.target.Met(&hash) {
		return tooEasy
	}
	if _, seen := p.seen[string(header[:])]; seen {
		return duplicate
	}
	p.seen[string(header[:])] = struct{}{}
	return accepted
}

func (c *conn) refuse(m stratum.Message, v verdict) error {
	return c.Answer(m.ID, nil, []any{int(v), v.String(), nil})
}
