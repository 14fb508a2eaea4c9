package ops_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/logs"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

func newHost(t *testing.T) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// The whole family over a real connection.
func TestOverTheWire(t *testing.T) {
	p := serve(t)
	s, _ := newService(t, t.TempDir())
	worker, controller := newHost(t), newHost(t)
	allow := func(_ context.Context, p streams.Peer, _ streams.Verb) error {
		if p.ID != controller.ID() {
			return streams.Errorf(streams.CodeForbidden, "you are nobody here")
		}
		return nil
	}
	mux := streams.NewMux(worker, streams.Config{Authorize: allow, Member: func(p peer.ID) bool { return p == controller.ID() }})
	if err := ops.Of(s).Register(mux); err != nil {
		t.Fatal(err)
	}
	background(t, mux.Serve)
	dial := func(h host.Host) *streams.Client {
		t.Helper()
		if err := h.Connect(t.Context(), peer.AddrInfo{ID: worker.ID(), Addrs: worker.Addrs()}); err != nil {
			t.Fatal(err)
		}
		c := streams.NewClient(h, streams.Config{})
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	c := dial(controller)
	mustStart(t, s, ops.StartRequest{Miner: "waits"}) // so that the service runs
	ack, err := ops.StartMiner.Do(t.Context(), c, worker.ID(), ops.StartRequest{Miner: "refpow", Pool: p.URL(), Profile: "eco"})
	if err != nil || !ack.Running {
		t.Fatalf("start_miner: %+v, %v", ack, err)
	}
	eventually(t, "shares in the stats", func() bool {
		st, err := ops.GetStats.Do(t.Context(), c, worker.ID(), ops.StatsRequest{})
		if err != nil || len(st.Workloads) != 2 {
			t.Fatalf("get_stats: %+v, %v", st, err)
		}
		return st.Workloads[0].SharesAccepted != nil && *st.Workloads[0].SharesAccepted > 0
	})
	followed, end := "", (*ops.Exit)(nil)
	for item, err := range ops.GetLogs.Do(t.Context(), c, worker.ID(), ops.LogsRequest{Name: "refpow", Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if followed == "" {
			if _, err := ops.StopMiner.Do(t.Context(), c, worker.ID(), ops.StopRequest{Name: "refpow"}); err != nil {
				t.Fatal(err)
			}
		}
		followed, end = followed+text(item), item.Exit
	}
	if !strings.Contains(followed, "share accepted") || !strings.Contains(followed, "stopped") || end == nil || end.Code != 0 {
		t.Errorf("followed until %+v:\n%s", end, followed)
	}
	if _, err := ops.StopMiner.Do(t.Context(), c, worker.ID(), ops.StopRequest{Name: "../x"}); streams.CodeOf(err) != streams.CodeInvalid {
		t.Errorf("a bad name: %v", err)
	}
	stranger := dial(newHost(t))
	if _, err := ops.StopMiner.Do(t.Context(), stranger, worker.ID(), ops.StopRequest{Name: "waits"}); streams.CodeOf(err) != streams.CodeForbidden {
		t.Errorf("a stranger: %v", err)
	}
}

func TestStartRequestValidate(t *testing.T) {
	object := func(n int) []byte { return []byte(`{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}`) }
	tests := []struct {
		name   string
		change func(*ops.StartRequest)
		ok     bool
	}{
		{"good", func(*ops.StartRequest) {}, true},
		{"no miner", func(r *ops.StartRequest) { r.Miner = "" }, false},
		{"miner with a path", func(r *ops.StartRequest) { r.Miner = "../x" }, false},
		{"name with a path", func(r *ops.StartRequest) { r.Name = "a/b" }, false},
		{"algorithm like a flag", func(r *ops.StartRequest) { r.Algorithm = "--x" }, false},
		{"most threads", func(r *ops.StartRequest) { r.Threads = miner.MaxThreads }, true},
		{"one thread more", func(r *ops.StartRequest) { r.Threads = miner.MaxThreads + 1 }, false},
		{"negative threads", func(r *ops.StartRequest) { r.Threads = -1 }, false},
		{"threads and profile", func(r *ops.StartRequest) { r.Threads, r.Profile = 1, "eco" }, false},
		{"bad profile", func(r *ops.StartRequest) { r.Profile = "a b" }, false},
		{"pool like a flag", func(r *ops.StartRequest) { r.Pool = "-x" }, false},
		{"wallet with a line end", func(r *ops.StartRequest) { r.Wallet = "a\nb" }, false},
		{"password with a blank", func(r *ops.StartRequest) { r.Password = "a b" }, false},
		{"largest config", func(r *ops.StartRequest) { r.Config = object(miner.MaxConfig) }, true},
		{"config a byte larger", func(r *ops.StartRequest) { r.Config = object(miner.MaxConfig + 1) }, false},
		{"config no object", func(r *ops.StartRequest) { r.Config = []byte(`[]`) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := ops.StartRequest{Miner: "refpow", Pool: "stratum+tcp://127.0.0.1:1"}
			tt.change(&r)
			if err := r.Validate(); (err == nil) != tt.ok {
				t.Errorf("Validate() = %v, want ok %v", err, tt.ok)
			}
		})
	}
}

func TestLogsRequestValidate(t *testing.T) {
	offset := func(n int64) *int64 { return &n }
	tests := []struct {
		name string
		req  ops.LogsRequest
		ok   bool
	}{
		{"empty", ops.LogsRequest{}, true},
		{"most lines", ops.LogsRequest{Lines: logs.MaxLines}, true},
		{"one line more", ops.LogsRequest{Lines: logs.MaxLines + 1}, false},
		{"negative lines", ops.LogsRequest{Lines: -1}, false},
		{"bad name", ops.LogsRequest{Name: ".."}, false},
		{"since before until", ops.LogsRequest{Since: 1, Until: 2}, true},
		{"since after until", ops.LogsRequest{Since: 2, Until: 1}, false},
		{"negative since", ops.LogsRequest{Since: -1}, false},
		{"offset", ops.LogsRequest{Offset: offset(0)}, true},
		{"negative offset", ops.LogsRequest{Offset: offset(-1)}, false},
		{"offset and since", ops.LogsRequest{Offset: offset(1), Since: 1}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.req.Validate(); (err == nil) != tt.ok {
				t.Errorf("Validate() = %v, want ok %v", err, tt.ok)
			}
		})
	}
}

// The keys on the wire are a promise to implementations in other languages.
func TestPayloadKeys(t *testing.T) {
	n, f, u, i := int64(1), 1.5, uint64(2), int64(3)
	tests := []struct {
		name    string
		payload any
		want    string
	}{
		{"stats request", ops.StatsRequest{}, `{}`},
		{"stats", ops.Stats{
			Node: "12D3", Name: "rig", Host: ops.Host{CPUPercent: &f, MemTotal: &u, TempCelsius: &f}, Seq: 1, Boot: 2,
			Workloads: []ops.Workload{{Name: "a", Kind: "refpow", State: miner.Mining, SharesAccepted: &i}},
		}, `{"node":"12D3","name":"rig","uptimeSeconds":0,"host":{"cpuPercent":1.5,"load1":null,"memTotal":2,"memUsed":null,` +
			`"diskTotal":null,"diskUsed":null,"tempCelsius":1.5},"workloads":[{"name":"a","kind":"refpow","state":"mining","algorithm":"",` +
			`"hashRate":null,"sharesAccepted":3,"sharesRejected":null,"uptimeSeconds":null,"restarts":0,"pool":""}],"seq":1,"boot":2}`},
		{"start", ops.StartRequest{
			Miner: "m", Name: "n", Algorithm: "a", Threads: 1, Pool: "p", Wallet: "w", Password: "x", Profile: "f", Config: []byte(`{}`),
		}, `{"miner":"m","name":"n","algorithm":"a","threads":1,"pool":"p","wallet":"w","password":"x","profile":"f","config":{}}`},
		{"shortest start", ops.StartRequest{Miner: "m"}, `{"miner":"m"}`},
		{"stop", ops.StopRequest{Name: "n"}, `{"name":"n"}`},
		{"ack", ops.MinerAck{Name: "n", State: miner.Stopped}, `{"name":"n","running":false,"state":"stopped","hashRate":null,"algorithm":""}`},
		{"logs request", ops.LogsRequest{Name: "n", Lines: 1, Since: 2, Until: 3, Offset: &n, Follow: true},
			`{"name":"n","lines":1,"since":2,"until":3,"offset":1,"follow":true}`},
		{"logs", ops.Logs{
			Name: "n", Lines: []logs.Line{{Offset: 1, Time: 2, Stream: logs.Stderr, Text: "x"}}, Next: 5, Gap: &logs.Gap{From: 0, To: 1},
			Exit: &ops.Exit{Code: -1, Signal: "killed"},
		}, `{"name":"n","lines":[{"offset":1,"time":2,"stream":"stderr","text":"x"}],"next":5,"hasMore":false,` +
			`"gap":{"from":0,"to":1},"exit":{"code":-1,"signal":"killed"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := json.Marshal(tt.payload)
			if err != nil || string(got) != tt.want {
				t.Errorf("got\n%s, %v\nwant\n%s", got, err, tt.want)
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	for _, profile := range []string{"eco", "balanced", "full"} {
		req := ops.StartRequest{Miner: "refpow", Name: profile, Pool: "stratum+tcp://127.0.0.1:9", Profile: profile}
		if ack, err := start(t, s, req); err != nil || !ack.Running || runtime.NumCPU() < 1 {
			t.Errorf("profile %s: %+v, %v", profile, ack, err)
		}
		if w := workload(t, s, profile); w.State != miner.Degraded || w.HashRate != nil {
			t.Errorf("with no pool: %+v", w)
		}
	}
}

// A service in a program of your own.
func ExampleService() {
	dir, err := os.MkdirTemp("", "ops")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s, err := ops.New(ops.Config{Dir: dir, Name: "rig-01"}) // no adapters, so nothing can be started
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	stats, err := s.Stats(ctx)
	fmt.Println(stats.Name, len(stats.Workloads), err)
	cancel()
	fmt.Println(<-done)
	// Output:
	// rig-01 0 <nil>
	// <nil>
}

func BenchmarkStats(b *testing.B) {
	s, _ := newService(b, b.TempDir())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Stats(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
