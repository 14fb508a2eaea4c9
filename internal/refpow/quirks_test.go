package refpow

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-b490fa12/swarm/ops/miner"
)

// quirk is a pool with a habit of its own. What is empty is as in a good pool; ID stands for the ID
// of the request. Text without an end of line gets one, unless raw is set.
type quirk struct {
	name      string
	hello     string // before anything
	subscribe string
	authorize string
	submit    string
	work      string // after the answer to authorize
	later     string // again and again, from 2 s on
	raw       bool
	// answers, where set, is asked first; false leaves it to the texts above.
	answers func(p *quirkyPool, m heard) (reply string, done bool)
	// check, where set, looks at all that the miner said.
	check func(t *testing.T, p *quirkyPool)
	conns int // how many connections there may be in a minute, 0 for one
}

// heard is a line of the miner.
type heard struct {
	ID     int            `json:"id"`
	Method string         `json:"method"`
	Params []any          `json:"params"`
	Result jsontext.Value `json:"result"`
	Error  jsontext.Value `json:"error"`
}

const (
	goodSubscribe = `{"id":ID,"result":[[["mining.set_difficulty","1"],["mining.notify","1"]],"08000002",4],"error":null}`
	goodYes       = `{"id":ID,"result":true,"error":null}`
	goodDiff      = `{"id":null,"method":"mining.set_difficulty","params":[0.5]}`
	zeros         = "0000000000000000000000000000000000000000000000000000000000000000"
	goodJob       = `{"id":null,"method":"mining.notify","params":["a","` + zeros + `","0100","ffff",[],"20000000","207fffff","6566aabb",true]}`
)

func job(id, rest string) string {
	return `{"id":null,"method":"mining.notify","params":[` + id + `,"` + zeros + `","0100","ffff",` + rest + `]}`
}

// quirkyPool plays a quirk, and keeps what it hears.
type quirkyPool struct {
	quirk quirk
	conns int
	lines []heard     // everything
	at    []time.Time // of shares that it takes
	mute  bool        // answers no more
	conn  net.Conn
}

// dial connects the miner.
func (p *quirkyPool) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	p.conns++
	out := make(chan string, 1000)
	go func() {
		for text := range out {
			if _, err := there.Write([]byte(text)); err != nil {
				return
			}
		}
	}()
	go p.listen(there, out)
	return here, nil
}

func (p *quirkyPool) listen(conn net.Conn, out chan<- string) {
	p.conn = conn
	var sending sync.WaitGroup
	done := make(chan struct{})
	defer func() { _ = conn.Close(); close(done); sending.Wait(); close(out) }()
	say := func(text string) {
		if text != "" && !p.quirk.raw {
			text = strings.TrimSuffix(text, "\n") + "\n"
		}
		out <- text
	}
	if p.quirk.hello != "" {
		say(p.quirk.hello)
	}
	scan := bufio.NewScanner(conn)
	begun := false
	for scan.Scan() {
		var m heard
		if err := json.Unmarshal(scan.Bytes(), &m, jsontext.AllowInvalidUTF8(true)); err != nil {
			p.lines = append(p.lines, heard{Method: "unreadable: " + scan.Text()})
			continue
		}
		p.lines = append(p.lines, m)
		reply, ok := "", false
		if p.quirk.answers != nil {
			reply, ok = p.quirk.answers(p, m)
		}
		if !ok {
			reply = p.reply(m)
		}
		if m.Method == "mining.submit" && !strings.Contains(reply, "[2") {
			p.at = append(p.at, time.Now())
		}
		if reply == "close" {
			return
		}
		if reply != "" {
			say(strings.ReplaceAll(reply, "ID", fmt.Sprint(m.ID)))
		}
		if m.Method == "mining.authorize" && !begun && !p.mute {
			begun = true
			say(or(p.quirk.work, goodDiff+"\n"+goodJob))
			sending.Go(func() { p.goOn(say, done) })
		}
	}
}

func (p *quirkyPool) goOn(say func(string), done <-chan struct{}) {
	for p.quirk.later != "" {
		select {
		case <-time.After(2 * time.Second):
			say(p.quirk.later)
		case <-done:
			return
		}
	}
}

func (p *quirkyPool) reply(m heard) string {
	switch m.Method {
	case "mining.subscribe":
		return or(p.quirk.subscribe, goodSubscribe)
	case "mining.authorize":
		return or(p.quirk.authorize, goodYes)
	case "mining.submit":
		return or(p.quirk.submit, goodYes)
	}
	return ""
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// said returns the parameters of all requests for a method.
func (p *quirkyPool) said(method string) (all [][]any) {
	for _, m := range p.lines {
		if m.Method == method {
			all = append(all, m.Params)
		}
	}
	return all
}

// answered returns the answers to the requests with an ID of the pool.
func (p *quirkyPool) answered(id int) (all []string) {
	for _, m := range p.lines {
		if m.Method == "" && m.ID == id {
			all = append(all, string(m.Result)+string(m.Error))
		}
	}
	return all
}

// everyShare is how often the hasher of the test finds one.
const everyShare = 100 * time.Millisecond

// fakeHashing finds shares for what is on the board.
func fakeHashing(ctx context.Context, r *rig) {
	for n := uint32(0); ctx.Err() == nil; n++ {
		if w, changed := r.board.look(); w != nil {
			w.report(ctx, share{w, w.nextExtranonce2(), n}, changed)
		}
		select {
		case <-time.After(everyShare):
		case <-ctx.Done():
		}
	}
}

// play mines a minute at a pool, and returns the longest time in which it got no share.
func play(t *testing.T, p *quirkyPool) (r *rig, gap time.Duration, out string) {
	t.Helper()
	var words bytes.Buffer
	r = &rig{cfg: Config{User: "w.r", Password: "x"}, pool: miner.Pool{Host: "pool", Port: 1}, log: log.New(&words, "", 0)}
	r.dial = p.dial
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	begin := time.Now()
	var parts sync.WaitGroup
	parts.Go(func() { r.keepConnected(ctx) })
	parts.Go(func() { fakeHashing(ctx, r) })
	parts.Wait()
	synctest.Wait()
	last := begin
	for _, at := range append(p.at, begin.Add(time.Minute)) {
		gap, last = max(gap, at.Sub(last)), at
	}
	return r, gap, words.String()
}

// longestGap is how long a habit of a pool may keep us from mining.
const longestGap = 5 * time.Second

func TestPoolQuirks(t *testing.T) {
	all := slices.Concat(reportedQuirks(), inventedQuirks())
	for _, q := range all {
		t.Run(q.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &quirkyPool{quirk: q}
				r, gap, out := play(t, p)
				if gap > longestGap {
					t.Errorf("no share for %v; the log:\n%.3000s", gap, out)
				}
				if p.conns > max(1, q.conns) {
					t.Errorf("%d connections; the log:\n%.3000s", p.conns, out)
				}
				if n := r.rejected.Load(); n > maxUnwelcome {
					t.Errorf("%d shares counted as rejected", n)
				}
				for _, m := range p.lines {
					if strings.HasPrefix(m.Method, "unreadable") {
						t.Errorf("the pool heard %q", m.Method)
					}
				}
				if q.check != nil {
					q.check(t, p)
				}
			})
		})
	}
	if len(inventedQuirks()) < 30 {
		t.Errorf("%d quirks were invented", len(inventedQuirks()))
	}
}
