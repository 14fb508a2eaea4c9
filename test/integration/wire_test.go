package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/refpow/pool"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// newNode returns a node of this process, on loopback, that lets nobody do
// anything.
func newNode(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.New(node.Config{Role: "controller", Name: "test", Host: host.Config{
		StateDir: t.TempDir(), DHT: host.DHTOff, Listen: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/0")},
	}})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	must(t, n.Listen())
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, errors.Join(<-done, n.Close()))
	})
	return n
}

// meet makes the process known to n.
func meet(t *testing.T, n *node.Node, p *process) peer.ID {
	t.Helper()
	infos, err := host.ParsePeers(p.addr)
	must(t, err)
	n.Peerstore().AddAddrs(infos[0].ID, infos[0].Addrs, time.Hour)
	return infos[0].ID
}

// tap is a stream of raw messages to a worker.
type tap struct {
	t  *testing.T
	n  *node.Node
	to peer.ID
	s  network.Stream
	r  *bufio.Reader
}

func openTap(t *testing.T, n *node.Node, to peer.ID, f streams.Family) *tap {
	t.Helper()
	s, err := n.NewStream(t.Context(), to, f.ProtocolID())
	must(t, err)
	t.Cleanup(func() { s.Reset() })
	must(t, s.SetDeadline(time.Now().Add(20*time.Second)))
	return &tap{t, n, to, s, bufio.NewReader(s)}
}

func (t *tap) send(typ streams.Type, payload any) *streams.Message {
	t.t.Helper()
	m, err := streams.NewMessage(t.n.ID(), typ, payload)
	must(t.t, err)
	b, err := m.MarshalJSON()
	must(t.t, err)
	_, err = t.s.Write(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
	must(t.t, err)
	return m
}

func (t *tap) receive() *streams.Message {
	t.t.Helper()
	size, err := binary.ReadUvarint(t.r)
	must(t.t, err)
	b := make([]byte, size)
	_, err = io.ReadFull(t.r, b)
	must(t.t, err)
	m := new(streams.Message)
	must(t.t, m.UnmarshalJSON(b))
	return m
}

// Each message type goes over a real wire between two processes, byte for byte
// as docs/protocol.md has it.
func TestEveryTypeOnTheWire(t *testing.T) {
	p, err := pool.Listen(pool.Config{})
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- p.Serve(t.Context()) }()
	t.Cleanup(func() { must(t, <-served) })

	n := newNode(t)
	w := startWorker(t, t.TempDir(), "--name", "rig", "--allow", n.ID().String(), "--enable", "miner=refpow,deploy")
	id := meet(t, n, w)
	seen := map[streams.Type]bool{}
	exchange := func(f streams.Family, typ streams.Type, payload any, want streams.Type) *streams.Message {
		t.Helper()
		tap := openTap(t, n, id, f)
		sent := tap.send(typ, payload)
		got := tap.receive()
		if err := streams.ValidateResponse(sent, got, id, want); err != nil && want != "error" || got.Type != want {
			t.Fatalf("%s: got %s %s: %v", typ, got.Type, got.Payload, err)
		}
		seen[typ], seen[got.Type] = true, true
		return got
	}
	has := func(m *streams.Message, keys ...string) {
		t.Helper()
		for _, k := range keys {
			if !bytes.Contains(m.Payload, []byte(`"`+k+`":`)) {
				t.Errorf("%s has no %q: %s", m.Type, k, m.Payload)
			}
		}
	}

	hello := greet.Hello{Version: greet.ProtocolVersion, Families: []streams.FamilyInfo{}, Role: "controller", Name: "me"}
	has(exchange(greet.Family, "handshake", hello, "handshake_ack"), "version", "families", "role", "name", "accepted")
	has(exchange(greet.Family, "ping", greet.PingRequest{SentAt: 5}, "pong"), "sentAt", "receivedAt")
	has(exchange(ops.GetStats.Family, "get_stats", struct{}{}, "stats"), "node", "name", "uptimeSeconds", "host", "cpuPercent", "load1",
		"memTotal", "memUsed", "diskTotal", "diskUsed", "workloads", "seq", "boot")
	has(exchange(ops.StartMiner.Family, "start_miner", map[string]any{"miner": "refpow", "threads": 1, "pool": p.URL()}, "miner_ack"),
		"name", "running", "state", "hashRate", "algorithm")
	has(exchange(ops.GetStats.Family, "get_stats", struct{}{}, "stats"), "kind", "state", "sharesAccepted", "sharesRejected", "restarts", "pool")
	waitFor(t, "a line in the log", func() bool {
		return bytes.Contains(exchange(ops.GetLogs.Family, "get_logs", map[string]any{"name": "refpow", "lines": 10}, "logs").Payload, []byte(`"text":`))
	})
	logs := exchange(ops.GetLogs.Family, "get_logs", map[string]any{"name": "refpow", "lines": 10}, "logs")
	has(logs, "name", "lines", "offset", "time", "stream", "text", "hasMore")
	if !logs.End {
		t.Error("the only item of a feed has no end mark")
	}
	has(exchange(ops.StopMiner.Family, "stop_miner", map[string]any{"name": "refpow"}, "miner_ack"), "name", "running", "state")
	has(exchange(ops.StopMiner.Family, "stop_miner", map[string]any{"name": "nothing"}, "error"), "code", "message", "timestamp")

	file := filepath.Join(t.TempDir(), "hello.txt")
	must(t, os.WriteFile(file, []byte("hello\n"), 0o600))
	bundle, err := deploy.Open(file, "", 0)
	must(t, err)
	push := openTap(t, n, id, deploy.Family)
	push.send("deploy", deploy.Request{Manifest: bundle.Manifest, Size: 6})
	_, err = push.s.Write([]byte("hello\n"))
	must(t, err)
	ack := push.receive()
	has(ack, "name", "success", "release", "previous", "bytes", "state")
	seen["deploy"], seen[ack.Type] = true, true

	for _, notice := range []struct {
		family  streams.Family
		typ     streams.Type
		payload any
	}{
		{streams.ErrorNotice.Family, "error", map[string]any{"code": 500, "message": "trouble here", "timestamp": 1}},
		{greet.Family, "disconnect", map[string]any{"code": 1, "reason": "requested"}},
	} {
		tap := openTap(t, n, id, notice.family)
		tap.send(notice.typ, notice.payload)
		must(t, tap.s.CloseWrite())
		if b, err := tap.r.ReadByte(); err != io.EOF {
			t.Errorf("%s was answered with %v, %v; want the end of the stream", notice.typ, b, err)
		}
		seen[notice.typ] = true
	}
	waitFor(t, "the connection to end after disconnect", func() bool { return len(n.Network().ConnsToPeer(id)) == 0 })

	for _, typ := range []streams.Type{
		"handshake", "handshake_ack", "ping", "pong", "disconnect", "get_stats", "stats", "start_miner", "stop_miner", "miner_ack",
		"deploy", "deploy_ack", "get_logs", "logs", "error",
	} {
		if !seen[typ] {
			t.Errorf("type %s did not go over the wire", typ)
		}
	}
}

// A stranger tries every type that a worker registers. Types come from the
// registry, so that a new one is covered by itself.
func TestStrangerMayDoNothing(t *testing.T) {
	w := startWorker(t, t.TempDir(), "--allow", newController(t).id, "--enable", "miner=refpow,deploy")
	before := tree(t, w.state)
	tried := 0
	for _, spec := range registry(t) {
		if spec.Verb == streams.VerbPublic {
			if f := spec.Family.Name; f != "lifecycle" && f != "error" && f != "peers" {
				t.Errorf("type %s of family %s is open to everyone", spec.Request, f)
			}
			continue
		}
		tried++
		t.Run(string(spec.Request), func(t *testing.T) {
			stranger := newNode(t) // a new one each time: they are rated
			id := meet(t, stranger, w)
			for _, payload := range []jsontext.Value{
				jsontext.Value(`{}`), jsontext.Value(`{"name":"x","miner":"refpow","pool":"stratum+tcp://127.0.0.1:1"}`), jsontext.Value(`null`),
			} {
				tap := openTap(t, stranger, id, spec.Family)
				tap.send(spec.Request, payload)
				refused(t, tap.receive(), streams.CodeForbidden)
				tap.s.Reset()
			}
			forged := openTap(t, stranger, id, spec.Family)
			m, err := streams.NewMessage(id, spec.Request, jsontext.Value(`{}`)) // the worker's own ID
			must(t, err)
			b, err := m.MarshalJSON()
			must(t, err)
			_, err = forged.s.Write(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
			must(t, err)
			refused(t, forged.receive(), streams.CodeUnauthenticated)
		})
	}
	if tried < 5 {
		t.Errorf("%d types were tried", tried)
	}
	if after := tree(t, w.state); after != before {
		t.Errorf("the stranger left traces:\n%s\nbefore:\n%s", after, before)
	}
}

func refused(t *testing.T, m *streams.Message, want streams.Code) {
	t.Helper()
	var e streams.Error
	if m.Type != "error" || m.ParsePayload(&e) != nil || e.Code != want {
		t.Errorf("got %s %s, want error %d", m.Type, m.Payload, want)
	}
}

// registry returns all types that a worker serves.
func registry(t *testing.T) []streams.Spec {
	t.Helper()
	w, err := agent.NewWorker(agent.WorkerConfig{StateDir: t.TempDir(), Enable: []string{"deploy"}})
	must(t, err)
	defer w.Close()
	return w.Node.Mux.Specs()
}

// tree lists the files below a directory that a command could have made.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	for _, sub := range []string{"ops", "deploy"} {
		must(t, filepath.WalkDir(filepath.Join(dir, sub), func(path string, _ os.DirEntry, err error) error {
			out.WriteString(strings.TrimPrefix(path, dir) + "\n")
			return err
		}))
	}
	return out.String()
}
