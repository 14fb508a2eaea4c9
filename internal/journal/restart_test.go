package journal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/internal/journal"
	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type text struct {
	Text string `json:"text"`
}

var (
	family = streams.Family{Name: "journaled", Versions: []string{"1.0.0"}}
	change = streams.Call[text, text]{Family: family, Request: "change", Reply: "changed", Verb: "miner.control"}
	run    = streams.Feed[text, text]{Family: family, Request: "run", Reply: "ran", Verb: "run"}
)

// machine is a worker and the laptop that asks it, from a start to the next.
type machine struct {
	*streamtest.Pipe
	t       *testing.T
	journal *journal.Journal
	effects *int
}

// start starts the machine on its directory.
func start(t *testing.T, dir string, effects *int) *machine {
	t.Helper()
	j := journal.Open(journal.Config{Dir: dir})
	p := streamtest.New(streamtest.PeerID("worker"), streamtest.PeerID("laptop"), streams.Config{
		Authorize: func(context.Context, streams.Peer, streams.Verb) error { return nil },
		Member:    func(peer.ID) bool { return true }, Journal: j,
	}, streams.Config{})
	m := &machine{p, t, j, effects}
	err := errors.Join(
		change.Handle(p.Mux, func(_ context.Context, _ streams.Peer, v text) (text, error) {
			if v.Text == "refuse" {
				return v, streams.Errorf(streams.CodeRefused, "no")
			}
			*effects++
			if v.Text == "die" {
				return v, errors.Join(j.Close(), errors.New("nothing more is recorded"))
			}
			return v, nil
		}),
		run.Handle(p.Mux, func(_ context.Context, _ streams.Peer, v text, send func(text) error) (text, error) {
			*effects++
			return v, send(v)
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// stop ends the machine.
func (m *machine) stop() {
	m.t.Helper()
	if err := errors.Join(m.Close(), m.journal.Close()); err != nil {
		m.t.Error(err)
	}
}

// send sends a message as it is, and returns the last answer to it.
func (m *machine) send(msg *streams.Message) (code streams.Code, answer string) {
	m.t.Helper()
	answers, err := m.Send(m.t.Context(), family, msg)
	if err != nil && len(answers) == 0 {
		return 0, ""
	}
	for _, got := range answers {
		code, answer = 0, string(got.Payload)
		if got.Type == "error" {
			var e streams.Error
			if err := got.ParsePayload(&e); err != nil {
				m.t.Fatal(err)
			}
			code, answer = e.Code, e.Message
		}
	}
	return code, answer
}

// A request with an effect has it once, also when the machine is restarted between it and its
// repetition.
func TestOnceOverRestarts(t *testing.T) {
	dir, effects := filepath.Join(t.TempDir(), "journal"), 0
	m := start(t, dir, &effects)
	message := func(typ streams.Type, words string) *streams.Message {
		msg, err := streams.NewMessage(m.Caller.ID(), typ, text{words})
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	good, refused, dies, feed := message("change", "a"), message("change", "refuse"), message("change", "die"), message("run", "r")
	for _, msg := range []*streams.Message{good, refused, feed, dies} {
		m.send(msg)
	}
	for range 3 {
		m.stop()
		m = start(t, dir, &effects)
		if code, answer := m.send(good); code != 0 || answer != `{"text":"a"}` {
			t.Errorf("repeated: %d %s", code, answer)
		}
		other := *good
		other.Payload = []byte(`{"text":"b"}`)
		if code, answer := m.send(&other); code != streams.CodeConflict || !strings.Contains(answer, "another payload") {
			t.Errorf("the same ID with another payload: %d %s", code, answer)
		}
		if code, answer := m.send(dies); code != streams.CodeConflict || !strings.Contains(answer, "does not know whether this was done") {
			t.Errorf("one that nobody knows the end of: %d %s", code, answer)
		}
		if code, answer := m.send(refused); code != streams.CodeRefused {
			t.Errorf("one that was refused: %d %s", code, answer)
		}
		if code, answer := m.send(feed); code != streams.CodeConflict {
			t.Errorf("a feed: %d %s", code, answer)
		}
		if effects != 3 {
			t.Fatalf("%d effects of three requests", effects)
		}
	}
	m.stop()
}

// What cannot be recorded is not done, and may be asked for again.
func TestWithoutADisk(t *testing.T) {
	dir, effects := filepath.Join(t.TempDir(), "journal"), 0
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := start(t, dir, &effects)
	defer m.stop()
	msg, err := streams.NewMessage(m.Caller.ID(), "change", text{"a"})
	if err != nil {
		t.Fatal(err)
	}
	if code, answer := m.send(msg); code != streams.CodeUnavailable || !strings.Contains(answer, "cannot record") || effects != 0 {
		t.Errorf("got %d %s, %d effects", code, answer, effects)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if code, answer := m.send(msg); code != 0 || effects != 1 {
		t.Errorf("after the disk is back: %d %s, %d effects", code, answer, effects)
	}
}
