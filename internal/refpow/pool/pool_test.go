package pool_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/internal/refpow"
	"github.com/seed-b490fa12/swarm/internal/refpow/internal/stratum"
	"github.com/seed-b490fa12/swarm/internal/refpow/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const easy = 1e-6 // about 4,300 hashes a share

func serve(t *testing.T, cfg pool.Config) *pool.Pool {
	t.Helper()
	p, err := pool.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := p.Serve(ctx); err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	t.Cleanup(func() { cancel(); serving.Wait() })
	return p
}

// client speaks stratum by hand.
type client struct {
	t    *testing.T
	conn *stratum.Conn
	job  stratum.Job
	e1   []byte
}

func dial(t *testing.T, p *pool.Pool) (*client, net.Conn) {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "stratum+tcp://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return &client{t: t, conn: stratum.NewConn(nc)}, nc
}

func (c *client) read() stratum.Message {
	c.t.Helper()
	m, err := c.conn.Read(20 * time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// ask sends a request and returns the words of the error, "" when there is none.
func (c *client) ask(method string, params ...any) string {
	c.t.Helper()
	if err := c.conn.Call(9, method, params...); err != nil {
		c.t.Fatal(err)
	}
	m := c.read()
	if string(m.Error) == "null" {
		return ""
	}
	return string(m.Error)
}

func (c *client) join(name string) {
	c.t.Helper()
	if err := c.conn.Call(1, "mining.subscribe"); err != nil {
		c.t.Fatal(err)
	}
	e, err := stratum.ParseSubscribed(c.read())
	if err != nil || e.Size2 != 4 {
		c.t.Fatal(e, err)
	}
	c.e1 = e.First
	if words := c.ask("mining.authorize", name, "x"); words != "" {
		c.t.Fatalf("not authorized: %s", words)
	}
	c.read() // difficulty
	c.takeJob()
}

func (c *client) takeJob() {
	c.t.Helper()
	job, err := stratum.ParseJob(c.read())
	if err != nil {
		c.t.Fatal(err)
	}
	c.job = job
}

// find returns a nonce that meets, or does not meet, the target.
func (c *client) find(target stratum.Target, met bool) uint32 {
	h := c.job.Header(c.e1, make([]byte, 4))
	for n := uint32(0); ; n++ {
		if hash := h.Hash(n); target.Met(&hash) == met {
			return n
		}
	}
}

func (c *client) submit(name, job, e2, ntime string, nonce uint32) string {
	c.t.Helper()
	return c.ask("mining.submit", name, job, e2, ntime, stratum.Hex32(nonce))
}

func TestShares(t *testing.T) {
	p := serve(t, pool.Config{Difficulty: easy})
	c, _ := dial(t, p)
	if words := c.ask("mining.submit", "a", "1", "00000000", "00000000", "00000000"); !strings.Contains(words, "unauthorized") {
		t.Errorf("share before authorization: %s", words)
	}
	c.join("a")
	target := stratum.TargetOf(easy)
	good, bad := c.find(target, true), c.find(target, false)
	ntime := stratum.Hex32(c.job.Time)
	tests := []struct {
		name  string
		words string
		want  string
	}{
		{"good", c.submit("a", c.job.ID, "00000000", ntime, good), ""},
		{"duplicate", c.submit("a", c.job.ID, "00000000", ntime, good), "duplicate"},
		{"no work", c.submit("a", c.job.ID, "00000000", ntime, bad), "low difficulty"},
		{"other time", c.submit("a", c.job.ID, "00000000", "00000001", good), "bad request"},
		{"unknown job", c.submit("a", "nope", "00000000", ntime, good), "stale"},
		{"other worker", c.submit("b", c.job.ID, "00000000", ntime, good), "unauthorized"},
		{"long extranonce", c.submit("a", c.job.ID, "0000000000", ntime, good), "bad request"},
		{"no hex", c.submit("a", c.job.ID, "0000000g", ntime, good), "bad request"},
		{"too few parameters", c.ask("mining.submit", "a"), "bad request"},
		{"unknown method", c.ask("mining.dance"), "unknown method"},
	}
	for _, tt := range tests {
		if (tt.want == "") != (tt.words == "") || !strings.Contains(tt.words, tt.want) {
			t.Errorf("%s: answer %q, want %q", tt.name, tt.words, tt.want)
		}
	}
	if got, want := p.Workers()["a"], (pool.Counts{Accepted: 1, Rejected: 8}); got != want {
		t.Errorf("counts are %+v, want %+v", got, want)
	}
	old := c.job
	p.NewJob()
	c.takeJob()
	if words := c.submit("a", old.ID, "00000001", ntime, good); !strings.Contains(words, "stale") {
		t.Errorf("share for the old job: %q", words)
	}
}

func TestPassword(t *testing.T) {
	p := serve(t, pool.Config{Password: "right"})
	c, _ := dial(t, p)
	if words := c.ask("mining.authorize", "a", "wrong"); !strings.Contains(words, "unauthorized") {
		t.Errorf("wrong password: %q", words)
	}
	if words := c.ask("mining.authorize", "a", "right"); words != "" {
		t.Errorf("right password: %q", words)
	}
}

func TestBadLinesEndTheConnection(t *testing.T) {
	p := serve(t, pool.Config{})
	for name, line := range map[string]string{
		"no JSON":  "hello\n",
		"too long": `{"id":1,"method":"` + strings.Repeat("x", stratum.MaxLine) + "\"}\n",
	} {
		c, nc := dial(t, p)
		_, _ = nc.Write([]byte(line))
		if m, err := c.conn.Read(20 * time.Second); err == nil {
			t.Errorf("%s: answered with %+v", name, m)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	p := serve(t, pool.Config{})
	for range pool.MaxConns {
		c, _ := dial(t, p)
		if words := c.ask("mining.dance"); words == "" { // answered, so it has its place
			t.Fatal("no answer")
		}
	}
	c, _ := dial(t, p)
	if m, err := c.conn.Read(20 * time.Second); err == nil {
		t.Errorf("connection %d was served: %+v", pool.MaxConns+1, m)
	}
}

// Miner and pool together, for a short real run.
func Example() {
	p, err := pool.Listen(pool.Config{Difficulty: easy})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { _ = p.Serve(ctx) })
	parts.Go(func() {
		_ = refpow.Mine(ctx, refpow.Config{Pool: p.URL(), User: "rig-01"}, discard{})
	})
	for p.Workers()["rig-01"].Accepted == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	parts.Wait()
	fmt.Println("rejected:", p.Total().Rejected)
	// Output: rejected: 0
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
