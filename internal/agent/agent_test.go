package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"github.com/seed-b490fa12/swarm/host/book"
	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWritePolicy(t *testing.T) {
	tests := []struct {
		words  []string
		want   string
		refuse bool
	}{
		{nil, "nothing", false},
		{[]string{"miner=refpow", "deploy"}, "miners refpow for pools *; deploy", false},
		{[]string{"miner=refpow, deploy,miner=xmrig"}, "miners refpow, xmrig for pools *; deploy", false},
		{[]string{"miner=xmrig", "pool=pool.example:3333"}, "miners xmrig for pools pool.example:3333", false},
		{[]string{"miner"}, "", true},
		{[]string{"miner="}, "", true},
		{[]string{"miner=typo"}, "", true},
	}
	for _, tc := range tests {
		t.Run(strings.Join(tc.words, " "), func(t *testing.T) {
			dir := t.TempDir()
			err := WritePolicy(dir, tc.words)
			got, bad := ReadPolicy(dir)
			if (err != nil) != tc.refuse || bad != nil || err == nil && got.String() != tc.want {
				t.Errorf("got %q, %v, %v", got, err, bad)
			}
		})
	}
}

// Pushed stats are taken from the workers that are watched, of themselves,
// newer than before, and at a bounded rate.
func TestAcceptPushedStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rig, other = peer.ID("rig"), peer.ID("other")
		list := &watchList{peers: make(map[peer.ID]*watched)}
		list.add(rig)
		of := func(p peer.ID, boot int64, seq uint64) ops.Stats {
			return ops.Stats{Node: p.String(), Boot: boot, Seq: seq}
		}
		tests := []struct {
			name  string
			from  peer.ID
			stats ops.Stats
			want  error
		}{
			{"first", rig, of(rig, 1, 5), nil},
			{"next", rig, of(rig, 1, 6), nil},
			{"repeated", rig, of(rig, 1, 6), streams.ErrIgnore},
			{"older", rig, of(rig, 1, 2), streams.ErrIgnore},
			{"after a restart", rig, of(rig, 2, 1), nil},
			{"from before the restart", rig, of(rig, 1, 9), streams.ErrIgnore},
			{"of another", rig, of(other, 3, 1), streams.ErrUnauthenticated},
			{"from one who is not watched", other, of(other, 1, 1), streams.ErrIgnore},
		}
		for _, tc := range tests {
			if err := list.accept(tc.from, tc.stats); !errors.Is(err, tc.want) {
				t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		for i := range statsBurst + 1 {
			err := list.accept(rig, of(rig, 3, uint64(i+1)))
			if want := i < statsBurst; (err == nil) != want {
				t.Errorf("message %d of a burst: %v", i+1, err)
			}
		}
	})
}

func TestSummary(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want Summary
	}{
		{"success", nil, Summary{OK: 1}},
		{"unreachable", fmt.Errorf("x: %w", streams.ErrUnreachable), Summary{Unreachable: 1}},
		{"timeout", streams.Errorf(streams.CodeTimeout, "x"), Summary{Unreachable: 1}},
		{"stopping", streams.Errorf(streams.CodeUnavailable, "x"), Summary{Unreachable: 1}},
		{"forbidden", streams.Errorf(streams.CodeForbidden, "x"), Summary{Denied: 1}},
		{"unauthenticated", streams.Errorf(streams.CodeUnauthenticated, "x"), Summary{Denied: 1}},
		{"owner refuses", streams.Errorf(streams.CodeRefused, "x"), Summary{Failed: 1}},
		{"other", errors.New("x"), Summary{Failed: 1}},
	}
	for _, tc := range tests {
		var s Summary
		if s.Add(tc.err); !reflect.DeepEqual(s, tc.want) || s.Total() != 1 {
			t.Errorf("%s: got %+v, want %+v", tc.name, s, tc.want)
		}
	}
}

func TestSelection(t *testing.T) {
	boot := newID(t)
	c, err := Started(NewCommand(ControllerConfig{StateDir: t.TempDir(), Bootstrap: []string{"/ip4/127.0.0.1/tcp/1/p2p/" + boot.String()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	}()
	for _, m := range []book.Entry{
		{Peer: "rig-a", Name: "a", Labels: map[string]string{"gpu": "3080", "site": "home"}},
		{Peer: "rig-b", Name: "b", Labels: map[string]string{"gpu": "3080"}},
		{Peer: "rig-c", ClaimedName: "sea"},
		{Peer: "hint", Name: "h", Hint: true},
	} {
		m.Peer = newID(t)
		if err := c.Node.Book().Put(m); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		s    Selection
		want string // names, in order of the book
		err  string
	}{
		{"by name", Selection{Names: []string{"a", "b"}}, "a b", ""},
		{"a bootstrap peer by the beginning of its ID", Selection{Names: []string{boot.String()[:20]}}, boot.String(), ""},
		{"twice", Selection{Names: []string{"a", "a"}}, "a", ""},
		{"all but hints", Selection{All: true}, "a b sea", ""},
		{"one label", Selection{On: "gpu=3080"}, "a b", ""},
		{"two labels", Selection{On: "gpu=3080,site=home"}, "a", ""},
		{"no such label", Selection{On: "gpu=1"}, "", "no saved machine"},
		{"best", Selection{Best: 2}, "2", ""},
		{"nothing", Selection{}, "", "name a machine"},
		{"claimed name", Selection{Names: []string{"sea"}}, "", "calls itself so"},
		{"unknown", Selection{Names: []string{"z"}}, "", `"z"`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := c.pick(tc.s)
			if tc.err != "" {
				if !errors.Is(err, ErrSelection) || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want %q", err, tc.err)
				}
				return
			}
			names := make(map[string]bool)
			for _, t := range got {
				names[cmp.Or(t.Display(), t.Peer.String())] = true
			}
			if tc.s.Best > 0 {
				if len(got) != tc.s.Best {
					t.Errorf("got %d targets", len(got))
				}
				return
			}
			for n := range strings.FieldsSeq(tc.want) {
				if !names[n] {
					t.Errorf("%s is missing in %v", n, names)
				}
			}
			if len(names) != len(strings.Fields(tc.want)) || err != nil {
				t.Errorf("got %v, %v, want %s", names, err, tc.want)
			}
		})
	}
}

// A machine is also named by the beginning of its name, where that is of one machine only.
func TestBeginningsOfNames(t *testing.T) {
	c, err := Started(NewCommand(ControllerConfig{StateDir: t.TempDir()}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, name := range []string{"rig-01", "rig-02", "rig-10", "cabin-3", "nas"} {
		m := book.Entry{Peer: newID(t), Name: name, Labels: map[string]string{"site": strings.TrimRight(name, "-0123456789")}}
		if err := c.Node.Book().Put(m); err != nil {
			t.Fatal(err)
		}
	}
	for word, want := range map[string]string{
		"rig-01": "rig-01", "rig-02": "rig-02", "cabin": "cabin-3", "cabin-": "cabin-3", "n": "nas",
		"rig":               `"rig" fits 3 machines: rig-01, rig-02, rig-10`,
		"rig-0":             `"rig-0" fits 2 machines: rig-01, rig-02`,
		"rig-1":             `no machine is named "rig-1" here (did you mean rig-01?)`, // and never rig-10
		"rig02":             "did you mean rig-02?",
		"ing-01":            "did you mean rig-01?",
		"x":                 `no machine is named "x" here. See`,
		"192.168.1.11:4747": "/ip4/192.168.1.11/tcp/4747/p2p/<peer ID>",
	} {
		got, err := c.Find(word)
		if err != nil {
			if !errors.Is(err, ErrSelection) || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: got %v, want %s", word, err, want)
			}
		} else if got.Name != want {
			t.Errorf("%q: got %s, want %s", word, got.Name, want)
		}
	}
	for on, want := range map[string]string{
		"site=rig,site in (rig,cabin)": "rig-01 rig-02 rig-10", "site!=rig": "cabin-3 nas", "site in (cabin,nas)": "cabin-3 nas",
		"site=attic": "site is cabin, nas or rig", "sit=rig": "did you mean site?", "site:rig": "did you mean site=rig?",
	} {
		got, err := c.pick(Selection{On: on})
		if err != nil {
			if !errors.Is(err, ErrSelection) || !strings.Contains(err.Error(), want) {
				t.Errorf("--on %s: got %v, want %s", on, err, want)
			}
			continue
		}
		var names []string
		for _, m := range got {
			names = append(names, m.Name)
		}
		slices.Sort(names)
		if strings.Join(names, " ") != want {
			t.Errorf("--on %s: got %v, want %s", on, names, want)
		}
	}
}

func newID(t *testing.T) peer.ID {
	t.Helper()
	key, err := identity.New()
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Every operation that a worker serves can be asked for, and no other.
func TestOperationsAreServed(t *testing.T) {
	w, err := NewWorker(WorkerConfig{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	served := make(map[streams.Type]streams.Spec)
	for _, s := range w.Node.Mux.Specs() {
		served[s.Request] = s
	}
	for _, s := range Operations() {
		if !reflect.DeepEqual(served[s.Request], s.Spec) {
			t.Errorf("operation %+v is served as %+v", s.Spec, served[s.Request])
		}
		delete(served, s.Request)
	}
	for _, not := range []streams.Type{"handshake", "twins", "disconnect", "error", "forward", "forward_check", "cp_read", "cp_write"} { // which have commands of their own
		delete(served, not)
	}
	if len(served) > 0 {
		t.Errorf("no operation for %v", served)
	}
	if _, err := Operations().Find("nonsense"); err == nil || !strings.Contains(err.Error(), "get_stats") {
		t.Errorf("unknown operation: %v", err)
	}
}

func TestWorkerConfigErrors(t *testing.T) {
	for _, cfg := range []WorkerConfig{
		{Listen: []string{"nonsense"}}, {Bootstrap: []string{"/ip4/127.0.0.1/tcp/1"}}, {Enable: []string{"miner=nonsense"}}, {Enable: []string{"x"}},
	} {
		cfg.StateDir = t.TempDir()
		if _, err := NewWorker(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
	// What a failed attempt held is free again.
	w, err := NewWorker(WorkerConfig{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := errors.Join(w.Run(ctx), w.Close()); err != nil {
		t.Error(err)
	}
}
