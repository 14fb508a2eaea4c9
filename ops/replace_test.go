package ops_test

import (
	"strings"
	"testing"

	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/miner"
	"github.com/seed-b490fa12/swarm/streams"
)

// What runs is changed in place: what is left out stays, and the password for another pool does not.
func TestReplace(t *testing.T) {
	first, second := serve(t), serve(t)
	s, _ := newService(t, t.TempDir())
	if _, err := start(t, s, ops.StartRequest{Replace: true, Pool: second.URL()}); streams.CodeOf(err) != streams.CodeNotFound {
		t.Errorf("nothing runs: %v", err)
	}
	mustStart(t, s, ops.StartRequest{Miner: "refpow", Name: "gpu-0", Pool: first.URL(), Wallet: "bc1q", Password: "hush", Threads: 1})
	eventually(t, "shares at the first pool", func() bool { return first.Workers()["bc1q.gpu-0"].Accepted > 0 })

	ack := mustStart(t, s, ops.StartRequest{Replace: true, Pool: second.URL()})
	if ack.Name != "gpu-0" || !ack.Running {
		t.Errorf("ack is %+v", ack)
	}
	eventually(t, "shares at the second pool", func() bool { return second.Workers()["bc1q.gpu-0"].Accepted > 0 })
	if n := len(children(t)); n != 1 {
		t.Errorf("%d processes", n)
	}
	up := *workload(t, s, "gpu-0").UptimeSeconds
	mustStart(t, s, ops.StartRequest{Replace: true, Pool: second.URL()}) // is so already
	if again := *workload(t, s, "gpu-0").UptimeSeconds; again < up {
		t.Error("the same settings again have started it anew")
	}
	// What cannot be started leaves what runs alone.
	if _, err := start(t, s, ops.StartRequest{Replace: true, Threads: 1000}); streams.CodeOf(err) != streams.CodeRefused {
		t.Errorf("more threads than there are: %v", err)
	}
	if w := workload(t, s, "gpu-0"); w.State == miner.Stopped || w.State == miner.Failed {
		t.Errorf("after a refusal: %+v", w)
	}
	if _, err := start(t, s, ops.StartRequest{Replace: true, Name: "gpu-1"}); streams.CodeOf(err) != streams.CodeNotFound {
		t.Errorf("another name: %v", err)
	}
}

// A name can be left out where one workload runs, and several are named.
func TestTheOneThatRuns(t *testing.T) {
	s, _ := newService(t, t.TempDir())
	stop := func() (ops.MinerAck, error) { return s.StopMiner(t.Context(), ops.StopRequest{Only: true}) }
	if _, err := stop(); streams.CodeOf(err) != streams.CodeNotFound {
		t.Errorf("nothing runs: %v", err)
	}
	pool := serve(t).URL()
	for _, name := range []string{"b", "a"} {
		mustStart(t, s, ops.StartRequest{Miner: "refpow", Name: name, Pool: pool, Threads: 1})
	}
	if _, err := stop(); streams.CodeOf(err) != streams.CodeInvalid || !strings.Contains(err.Error(), "name one of a, b") {
		t.Errorf("two run: %v", err)
	}
	if _, err := s.StopMiner(t.Context(), ops.StopRequest{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if logged, err := s.Logs(t.Context(), ops.LogsRequest{}, nil); err != nil || logged.Name != "b" {
		t.Errorf("logs of the one that runs: %+v, %v", logged.Name, err)
	}
	if ack, err := stop(); err != nil || ack.Name != "b" || ack.Running {
		t.Errorf("got %+v, %v", ack, err)
	}
	if _, err := stop(); streams.CodeOf(err) != streams.CodeNotFound {
		t.Errorf("none runs any more: %v", err)
	}
}
