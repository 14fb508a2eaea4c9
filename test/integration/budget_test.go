//go:build linux

package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/streams"
)

// A worker's key, which may do nothing, costs the controller little, whatever it sends.
func TestMembersCostLittle(t *testing.T) {
	if raceDetector {
		t.Skip("PROCESSOR TIME IS NOT MEASURED UNDER THE RACE DETECTOR: it is run without by make slow")
	}
	const (
		during = 4 * time.Second
		most   = 5 // percent of a core
	)
	f := newFleet(t)
	g := f.letIn("rig-01")
	g.stop()
	addr := freeAddr(t)
	serve := f.start("controller", "serve", "--listen", addr, "--mdns=false")
	serve.next("ready")
	to, err := host.ParsePeers(addr + "/p2p/" + f.controller.id)
	must(t, err)
	w, err := agent.NewWorker(agent.WorkerConfig{StateDir: g.state, Listen: []string{anyPort}})
	must(t, err)
	must(t, w.Listen())
	running, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(running) }()
	defer func() {
		stop()
		must(t, <-done)
		must(t, w.Close())
	}()
	must(t, w.Node.Connect(t.Context(), to[0]))
	controller := to[0].ID

	for _, attack := range []struct {
		name string
		run  func(ctx context.Context)
	}{
		{"subscriptions", func(ctx context.Context) { subscribe(ctx, t, w, controller) }},
		{"wanted messages", func(ctx context.Context) {
			gossip(ctx, t, w, controller, &pb.RPC{Control: &pb.ControlMessage{Iwant: []*pb.ControlIWant{{MessageIDs: make([]string, 30_000)}}}})
		}},
		{"prunes", func(ctx context.Context) {
			c := &pb.ControlMessage{Prune: make([]*pb.ControlPrune, 20_000)}
			for i := range c.Prune {
				c.Prune[i] = &pb.ControlPrune{}
			}
			gossip(ctx, t, w, controller, &pb.RPC{Control: c})
		}},
		{"empty messages", func(ctx context.Context) {
			rpc := &pb.RPC{Publish: make([]*pb.Message, 20_000)}
			for i := range rpc.Publish {
				rpc.Publish[i] = &pb.Message{}
			}
			gossip(ctx, t, w, controller, rpc)
		}},
		{"pings of the library", func(ctx context.Context) { write(ctx, w, controller, ping.ID, make([]byte, 32<<10)) }},
		{"questions to the DHT", func(ctx context.Context) {
			question := append([]byte{38, 0x08, 0x04, 0x12, 34, 0x12, 0x20}, make([]byte, 32)...) // FIND_NODE
			for _, id := range protocolsOf(w, controller) {
				if strings.Contains(string(id), "/kad/") {
					write(ctx, w, controller, id, bytes.Repeat(question, 1000))
				}
			}
		}},
		{"identify", func(ctx context.Context) {
			var all sync.WaitGroup
			for range 64 {
				all.Go(func() {
					for ctx.Err() == nil {
						s, err := w.Node.NewStream(ctx, controller, identify.ID)
						if err != nil {
							return
						}
						end := context.AfterFunc(ctx, func() { s.Reset() })
						_, _ = io.Copy(io.Discard, s)
						end()
						s.Reset()
					}
				})
			}
			all.Wait()
		}},
		{"pings", func(ctx context.Context) {
			together(func() {
				for ctx.Err() == nil {
					_, _ = greet.Ping.Do(ctx, w.Node.Client, controller, greet.PingRequest{})
				}
			})
		}},
		{"notices", func(ctx context.Context) {
			notice := streams.Errorf(streams.CodeInternal, "%s", strings.Repeat("x", 1000))
			together(func() {
				for ctx.Err() == nil {
					_ = streams.ErrorNotice.Send(ctx, w.Node.Client, controller, notice)
				}
			})
		}},
	} {
		t.Run(attack.name, func(t *testing.T) {
			burst, over := context.WithTimeout(t.Context(), 3*time.Second)
			attack.run(burst) // what comes at once is let in
			over()
			lines, before := strings.Count(serve.log.String(), "\n"), processorTime(t, serve.cmd.Process.Pid)
			ctx, cancel := context.WithTimeout(t.Context(), during)
			defer cancel()
			attack.run(ctx)
			used := processorTime(t, serve.cmd.Process.Pid) - before
			said := strings.Count(serve.log.String(), "\n") - lines
			percent := 100 * used.Seconds() / during.Seconds()
			t.Logf("%.1f %% of a core, %d lines of log in %v", percent, said, during)
			if percent > most {
				t.Errorf("it costs %.1f %% of a core, want %d at most", percent, most)
			}
			if said > 1+int(during/time.Second) {
				t.Errorf("it makes %d lines of log in %v", said, during)
			}
		})
	}
}

// together does something many times at once, and waits for all of it.
func together(do func()) {
	var all sync.WaitGroup
	for range 64 {
		all.Go(do)
	}
	all.Wait()
}

// subscribe sends RPCs that each subscribe to a topic, as fast as they are taken.
func subscribe(ctx context.Context, t *testing.T, w *agent.Worker, to peer.ID) {
	topic, yes := "/swarm/stats/1.0.0", true
	var rpcs bytes.Buffer
	for range 1000 {
		_, err := protodelim.MarshalTo(&rpcs, &pb.RPC{Subscriptions: []*pb.RPC_SubOpts{{Subscribe: &yes, Topicid: &topic}}})
		must(t, err)
	}
	send(ctx, w, to, "/meshsub/1.2.0", rpcs.Bytes())
}

// gossip sends one RPC again and again.
func gossip(ctx context.Context, t *testing.T, w *agent.Worker, to peer.ID, rpc *pb.RPC) {
	var b bytes.Buffer
	_, err := protodelim.MarshalTo(&b, rpc)
	must(t, err)
	send(ctx, w, to, "/meshsub/1.2.0", b.Bytes())
}

// write sends the same on 16 streams at a time, and reads what is answered.
func write(ctx context.Context, w *agent.Worker, to peer.ID, id protocol.ID, b []byte) {
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() { send(ctx, w, to, id, b) })
	}
	all.Wait()
}

// send writes the same as fast as it is taken, on one stream after the other.
func send(ctx context.Context, w *agent.Worker, to peer.ID, id protocol.ID, b []byte) {
	for ctx.Err() == nil {
		s, err := w.Node.NewStream(ctx, to, id)
		if err != nil {
			return
		}
		end := context.AfterFunc(ctx, func() { s.Reset() })
		var answers sync.WaitGroup
		answers.Go(func() { _, _ = io.Copy(io.Discard, s) })
		for err == nil {
			_, err = s.Write(b)
		}
		end()
		s.Reset()
		answers.Wait()
	}
}

func protocolsOf(w *agent.Worker, p peer.ID) []protocol.ID {
	ids, _ := w.Node.Peerstore().GetProtocols(p) // fails for a peer without an ID only
	return ids
}

// processorTime is how long a process has computed.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var user, system int64
	_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	must(t, err)
	return time.Duration(user+system) * (time.Second / 100) // USER_HZ is 100 on Linux
}
