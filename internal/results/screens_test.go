package results

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/keep"
	"github.com/seed-b490fa12/swarm/host/route"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

var update = flag.Bool("update", false, "write docs/screens.md anew")

const screensPath = "../../docs/screens.md"

// narrow and wide are the terminals of docs/screens.md.
type screen struct {
	bytes.Buffer
	columns int
}

func (s *screen) Columns() int { return s.columns }

// thirtyMachines are a fleet at three sites: most of it mines, and something is wrong with a few.
func thirtyMachines() (answers []agent.Result, peers []agent.PeerLine) {
	now := time.Now()
	ago := func(d time.Duration) int64 { return now.Add(-d - 500*time.Millisecond).UnixMilli() }
	sites := []string{"home", "cabin", "office"}
	for i := 1; i <= 30; i++ {
		name := fmt.Sprintf("rig-%02d", i)
		id := streamtest.PeerID(name)
		site := sites[i%3]
		line := agent.PeerLine{
			Entry: book.Entry{
				Peer: id, Name: name, ClaimedName: name, Role: "worker", Labels: map[string]string{"site": site},
				Addrs: []string{fmt.Sprintf("/ip4/192.168.%d.%d/tcp/4747", i%3, 10+i)}, LastSeen: ago(0),
			},
			State: keep.Direct, Path: route.LAN, Since: ago(time.Duration(i) * time.Hour), RTTMs: new(0.4 + float64(i)/10), Version: "swarm/1.0.0",
			Addr: fmt.Sprintf("/ip4/192.168.%d.%d/tcp/4747", i%3, 10+i),
		}
		rate, good, bad := 4000+37.5*float64(i), int64(90+i), int64(i%4)
		stats := ops.Stats{
			UptimeSeconds: float64(i)*3600 + 60, Host: ops.Host{
				CPUPercent: new(90 + float64(i%10)), Load1: new(3.5 + float64(i)/20), MemTotal: new(uint64(16 << 30)), MemUsed: new(uint64(i+20) << 28),
				TempCelsius: new(55 + float64(i%20)),
			},
			Workloads: []ops.Workload{{
				Name: "xmrig", Kind: "xmrig", State: miner.Mining, Algorithm: "rx/0", HashRate: &rate, SharesAccepted: &good, SharesRejected: &bad,
				UptimeSeconds: new(float64(i) * 3600), Pool: "stratum+ssl://pool.example.org:3333",
			}},
		}
		if site == "cabin" {
			line.State, line.Path, line.Relay, line.RTTMs, line.Addr = keep.Relayed, route.Relay, "vps", new(41+float64(i)), ""
		}
		var err error
		switch i {
		case 7:
			stats.Workloads[0].State, stats.Workloads[0].HashRate, stats.Workloads[0].Reason = miner.Degraded, nil, "no pool: the connection is refused"
		case 12:
			stats.Workloads = nil
		case 19:
			stats.Workloads = append(stats.Workloads, ops.Workload{Name: "refpow", Kind: "refpow", State: miner.Mining, Algorithm: "sha256d", HashRate: new(3.1e6),
				SharesAccepted: new(int64(4)), SharesRejected: new(int64(0)), Pool: "stratum+tcp://127.0.0.1:3333"})
		case 23, 28:
			away := time.Duration(i) * time.Minute
			err = streams.Errorf(streams.CodeUnavailable, "offline since %s; why: swarm doctor %s", output.Seconds(away.Seconds()), name)
			line.State, line.Path, line.RTTMs, line.Addr, line.Relay = keep.Offline, "", nil, "", ""
			line.Since, line.LastSeen, line.Version = ago(away), ago(away), ""
		}
		answer := agent.Result{Target: agent.Target{Peer: id, Name: name}, Err: err, Done: true}
		if err == nil {
			answer.Payload, _ = json.Marshal(stats)
		}
		answers, peers = append(answers, answer), append(peers, line)
	}
	return answers, peers
}

// The screens of docs/screens.md are what the program shows of a fleet of thirty, and no line is longer
// than the terminal is wide.
func TestScreens(t *testing.T) {
	var doc strings.Builder
	doc.WriteString("# Screens\n\nThirty machines at three sites, on terminals of 80 and of 200 columns. Columns that find no room are\n" +
		"left out, those that matter least first; `--wide` shows all. A test renders these tables from the same\n" +
		"machines (`go test ./internal/results -run Screens`, with `-update` after a change).\n")
	answers, peers := thirtyMachines()
	for _, columns := range []int{80, 200} {
		for _, command := range []string{"swarm stats --all", "swarm peers"} {
			out := &screen{columns: columns}
			p := New(console.New(strings.NewReader(""), out, io.Discard), nil, false)
			if command == "swarm peers" {
				if err := Peers(p.Stdout, false, peers); err != nil {
					t.Fatal(err)
				}
			} else {
				p.Table = Stats(new(bool))
				for _, a := range answers {
					p.Show(a)
				}
				if err := p.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			for line := range strings.Lines(out.String()) {
				if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > columns {
					t.Errorf("%s: %d columns on %d: %s", command, n, columns, line)
				}
			}
			if n := strings.Count(out.String(), "\n"); n < 31 || n > 36 {
				t.Errorf("%s on %d columns: %d lines for 30 machines", command, columns, n)
			}
			fmt.Fprintf(&doc, "\n## %s, %d columns\n\n```text\n%s```\n", command, columns, out.String())
		}
	}
	if *update {
		if err := os.WriteFile(screensPath, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(screensPath)
	if err != nil || string(kept) != doc.String() {
		t.Errorf("docs/screens.md is not what the program shows (run with -update): %v\n%s", err, doc.String())
	}
}
