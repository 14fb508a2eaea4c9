package xmrig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/ops/miner"
)

// FuzzSummary reads any answer an impostor at the port could give.
func FuzzSummary(f *testing.F) {
	for _, name := range []string{"summary1.json", "summary2.json", "backends.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"hashrate":{"total":[null]},"connection":{"uptime":-1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSummary(b)
		st := s.status()
		if st.State == "" || (st.State == miner.Degraded) != (st.Reason != "") {
			t.Errorf("got %+v, %v", st, err)
		}
		for _, n := range []*int64{st.SharesAccepted, st.SharesRejected} {
			if n != nil && *n < 0 {
				t.Errorf("%d shares", *n)
			}
		}
		_ = rateOfBackends(b)
	})
}

// Versions, forks and damage: what each answer says, member by member.
func TestSummaryOfVersions(t *testing.T) {
	const good = `{"algo":"rx/0","paused":false,"results":{"shares_good":4,"shares_total":5},` +
		`"connection":{"pool":"p:1","uptime":309,"failures":0,"rejected":1},"cpu":{"brand":"x"},"hashrate":{"total":[31000.5,30900.2,null]}}`
	with := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(good) }
	const rate = "[31000.5,30900.2,null]"
	tests := []struct {
		name, body string
		state      miner.State
		rate       float64 // -1: unknown
		accepted   int64   // -1: unknown
		rejected   int64
		ok         bool
	}{
		{"as it should be", good, miner.Mining, 31000.5, 4, 1, true},
		{"cut off", good[:len(good)-40], miner.Warming, -1, 4, 1, false},
		{"cut off behind the rate", good[:len(good)-1], miner.Mining, 31000.5, 4, 1, false},
		{"Latin-1 in the name of the processor", with(`"x"`, "\"x\xae\""), miner.Mining, 31000.5, 4, 1, true},
		{"byte order mark", "\ufeff" + good, miner.Mining, 31000.5, 4, 1, true},
		{"a member twice", with(`"algo"`, `"algo":1,"algo"`), miner.Mining, 31000.5, 4, 1, true},
		{"a member of another kind", with(`"algo":"rx/0"`, `"algo":{"name":"rx/0"}`, `"cpu":{"brand":"x"}`, `"cpu":7`), miner.Mining, 31000.5, 4, 1, true},
		{"numbers as text", with("31000.5", `"31000.5"`, ":309", `:"309"`, ":4,", `:"4",`), miner.Mining, 31000.5, 4, 1, true},
		{"rates that are no numbers", with("31000.5", "nan"), miner.Mining, 30900.2, 4, 1, true},
		{"2.14: rates of threads only", with(rate, `[null,null,null],"threads":[[1.5,1,null],[2.5,2,null]]`), miner.Mining, 4, 4, 1, true},
		{"a rate alone", with(rate, "12"), miner.Mining, 12, 4, 1, true},
		{"a list for the rates", with(`{"total":`+rate+`}`, rate), miner.Mining, 31000.5, 4, 1, true},
		{"more good shares than there are", with(`"shares_good":4`, `"shares_good":10`, `"shares_total":5`, `"shares_total":7`), miner.Mining, 31000.5, 10, 0, true},
		{"shares of the connection only", with(`"results":{"shares_good":4,"shares_total":5}`, `"results":null`, `"failures"`, `"accepted":9,"failures"`), miner.Mining, 31000.5, 9, 1, true},
		{"no connection", with(`{"pool":"p:1","uptime":309,"failures":0,"rejected":1}`, "null"), miner.Degraded, 31000.5, 4, 1, true},
		{"no time of the connection", with(`"uptime":309,`, ""), miner.Mining, 31000.5, 4, 1, true},
		{"the time in milliseconds only", with(`"uptime":309`, `"uptime_ms":0`), miner.Degraded, 31000.5, 4, 1, true},
		{"paused", with("false", "true"), miner.Paused, 31000.5, 4, 1, true},
		{"at the start", with(rate, "[null,null,null]", `"shares_good":4`, `"shares_good":null`), miner.Warming, -1, -1, 1, true},
		{"another program", `{"hello":"world"}`, miner.Warming, -1, -1, -1, false},
		{"empty", "", miner.Warming, -1, -1, -1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseSummary([]byte(tt.body))
			st := s.status()
			if st.State != tt.state || or(st.HashRate) != tt.rate || or(st.SharesAccepted) != tt.accepted ||
				or(st.SharesRejected) != tt.rejected || (err == nil) != tt.ok {
				t.Errorf("got %s, %v H/s, %d/%d, %v", st.State, or(st.HashRate), or(st.SharesAccepted), or(st.SharesRejected), err)
			}
		})
	}
}

func TestReasonOfALostPool(t *testing.T) {
	s, err := parseSummary([]byte(`{"connection":{"uptime":0,"failures":3,"error_log":["read error","connect error: refused"]}}`))
	const want = "not connected to a pool, 3 attempts failed: connect error: refused"
	if got := s.status().Reason; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestRateOfBackends(t *testing.T) {
	got := rateOfBackends([]byte(`[{"type":"cpu","hashrate":[10,null,null]},{"type":"opencl","hashrate":[null,5,null]},{"type":"cuda","hashrate":null}]`))
	if or(got) != 15 {
		t.Errorf("got %v", or(got))
	}
}

func or[T int64 | float64](n *T) T {
	if n == nil {
		return -1
	}
	return *n
}
