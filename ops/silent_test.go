package ops

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/seed-b490fa12/swarm/ops/miner"
)

// An answer that is cut off now and then is no reason to show a machine as one that does not mine;
// one that stays away is, and says why.
func TestSilentMiner(t *testing.T) {
	var logged bytes.Buffer
	w := &workload{name: "w", svc: &Service{cfg: Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))}}}
	w.run = &run{}
	rate := 5.0
	good := miner.Status{State: miner.Mining, HashRate: &rate}
	silent := errors.New("it is cut off")
	bad := miner.Status{State: miner.Degraded, Reason: silent.Error()}
	ask := func(s miner.Status, err error) Workload {
		before, now := w.told(s, err)
		w.logState(before, now, err)
		return w.stats()
	}
	ask(good, nil)
	for round := 1; round <= maxSilent; round++ {
		if st := ask(bad, silent); st.State != miner.Mining || st.HashRate == nil || st.Reason != "" {
			t.Errorf("silent for %d rounds: %+v", round, st)
		}
	}
	for range 3 {
		if st := ask(bad, silent); st.State != miner.Degraded || st.HashRate != nil || st.Reason != silent.Error() {
			t.Errorf("silent for longer: %+v", st)
		}
	}
	if st := ask(good, nil); st.State != miner.Mining || st.Reason != "" {
		t.Errorf("after an answer: %+v", st)
	}
	if n := strings.Count(logged.String(), "WARN"); n != 1 || !strings.Contains(logged.String(), silent.Error()) {
		t.Errorf("the log has %d warnings:\n%s", n, logged.String())
	}
}

func TestShortened(t *testing.T) {
	if got := shortened("a\n\x1b[31mb\xff"); got != "a [31mb?" {
		t.Errorf("got %q", got)
	}
	for _, long := range []string{strings.Repeat("x", maxReason+1), strings.Repeat("ü", maxReason)} {
		if got := shortened(long); len(got) > maxReason || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	}
}
