package integration

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/streams"
)

var update = flag.Bool("update", false, "write the golden files of this package anew")

// A machine that is off, a name that nobody has, a right that is missing and a program that is too old each
// read differently, and end with a code of their own.
func TestDoctor(t *testing.T) {
	f := newFleet(t)
	g := f.letIn("rig-01")
	off := f.letIn("rig-02")
	off.stop()

	friend := newController(t)
	ticket, inv := f.invite("friend", "--role", "viewer", "--verbs", "none")
	mustRun(t, join(t, friend.state, ticket))
	inv.next("joined")
	inv.stop()

	alone := newController(t)
	mustRun(t, alone.swarm("peers", "add", oldMachine(t), "--name", "old-01"))

	for _, tc := range []struct {
		name string
		by   controller
		args []string
		code int
	}{
		{"well", f.controller, []string{"rig-01"}, 0},
		{"offline", f.controller, []string{"rig-02", "--timeout", "2s"}, 4},
		{"unknown", f.controller, []string{"rig-99"}, 1},
		{"no right", friend, []string{"rig-01", "--bootstrap", g.addr}, 5},
		{"version", alone, []string{"old-01"}, 2},
		{"here", f.controller, nil, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := tc.by.swarm(append([]string{"doctor", "--mdns=false"}, tc.args...)...)
			if r.code != tc.code {
				t.Errorf("exit code %d, want %d: %+v", r.code, tc.code, r)
			}
			golden(t, "doctor-"+strings.ReplaceAll(tc.name, " ", "-")+".golden", plain(r.stdout+r.stderr))
		})
	}
}

// oldMachine answers handshakes as the program of another time would.
func oldMachine(t *testing.T) (addr string) {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	must(t, err)
	mux := streams.NewMux(h, streams.Config{})
	no := false
	must(t, greet.Handshake.Handle(mux, func(context.Context, streams.Peer, greet.Hello) (greet.Hello, error) {
		return greet.Hello{Version: "9.0.0", Accepted: &no, Reason: "you speak protocol 1.0.0, this node 9.0.0: update the older one"}, nil
	}))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mux.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, <-done)
		must(t, h.Close())
	})
	addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
	must(t, err)
	return addrs[0].String()
}

var changing = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`12D3KooW[1-9A-HJ-NP-Za-km-z]+|Qm[1-9A-HJ-NP-Za-km-z]{44}`), "PEER"},
	{regexp.MustCompile(`/(tcp|udp)/\d+`), "/$1/PORT"},
	{regexp.MustCompile(`\d+ m?s\b`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d`), "DATE"},
	{regexp.MustCompile(`\d\d:\d\d:\d\d`), "TIME"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// plain takes out what changes from run to run.
func plain(s string) string {
	for _, c := range changing {
		s = c.what.ReplaceAllString(s, c.by)
	}
	return s
}

// golden compares with a file of testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}
