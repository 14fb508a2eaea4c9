package streams

import (
	"bufio"
	"context"
	"encoding/binary"
	stdjson "encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// The benchmarks send a request of 200 bytes and get a reply of 1 KiB, the size of a stats message.
// BenchmarkCall has the whole guard on; the others do the same exchange with encoding/json and no
// checks, over a kept libp2p stream and over plain TCP.

type benchRequest struct {
	Filter string `json:"filter"`
}

type benchWorkload struct {
	Name     string   `json:"name"`
	State    string   `json:"state"`
	HashRate *float64 `json:"hashRate"`
	Accepted int64    `json:"sharesAccepted"`
	Pool     string   `json:"pool"`
}

type benchReply struct {
	Node      string          `json:"node"`
	Uptime    int64           `json:"uptimeSeconds"`
	CPU       float64         `json:"cpuPercent"`
	MemTotal  uint64          `json:"memTotal"`
	Workloads []benchWorkload `json:"workloads"`
}

var benchCall = Call[benchRequest, benchReply]{Family{Name: "bench", Versions: []string{"1.0.0"}}, "bench", "bench_ack", VerbStatsRead}

// benchEnvelope is the envelope in the way of encoding/json.
type benchEnvelope struct {
	ID        string             `json:"id"`
	Type      string             `json:"type"`
	Sender    string             `json:"sender"`
	Payload   stdjson.RawMessage `json:"payload"`
	Timestamp time.Time          `json:"timestamp"`
	ReplyTo   string             `json:"replyTo,omitempty"`
}

func newBenchRequest() benchRequest { return benchRequest{strings.Repeat("x", 10)} }

func newBenchReply() benchReply {
	rate := 1234.5678
	r := benchReply{Node: "12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq", Uptime: 86400, CPU: 12.5, MemTotal: 25276510208}
	for i := range 6 {
		r.Workloads = append(r.Workloads, benchWorkload{fmt.Sprint("rig-", i), "mining", &rate, 31, "stratum+tcp://pool.example.org:3333"})
	}
	return r
}

func benchPair(b *testing.B) *pair {
	p := newPair(b, allowAll, unlimited, func(c *Config) { c.Observe = nil })
	reply := newBenchReply()
	must(b, benchCall.Handle(p.mux, func(context.Context, Peer, benchRequest) (benchReply, error) { return reply, nil }))
	_, err := benchCall.Do(b.Context(), p.client, p.server.ID(), newBenchRequest())
	must(b, err)
	return p
}

func BenchmarkCall(b *testing.B) {
	p := benchPair(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := benchCall.Do(b.Context(), p.client, p.server.ID(), newBenchRequest()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCall64Callers(b *testing.B) {
	p := benchPair(b)
	b.ReportAllocs()
	b.SetParallelism(32) // times GOMAXPROCS
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := benchCall.Do(b.Context(), p.client, p.server.ID(), newBenchRequest()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

const benchProtocol protocol.ID = "/bench/raw/1.0.0"

// serveRaw answers requests in the way of a program without this package.
func serveRaw(rw io.ReadWriter, reply benchReply) {
	br := bufio.NewReader(rw)
	for {
		var m benchEnvelope
		var req benchRequest
		if readRaw(br, &m) != nil || stdjson.Unmarshal(m.Payload, &req) != nil {
			return
		}
		if writeRaw(rw, "bench_ack", m.ID, reply) != nil {
			return
		}
	}
}

func writeRaw(w io.Writer, typ, replyTo string, payload any) error {
	p, err := stdjson.Marshal(payload)
	if err != nil {
		return err
	}
	body, err := stdjson.Marshal(benchEnvelope{
		ID: "1b4e28ba-2fa1-4d27-883f-0016d3cca427", Type: typ, Sender: "12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq",
		Payload: p, Timestamp: time.Now(), ReplyTo: replyTo,
	})
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.AppendUvarint(nil, uint64(len(body))), body...))
	return err
}

func readRaw(br *bufio.Reader, m *benchEnvelope) error {
	n, err := binary.ReadUvarint(br)
	if err != nil {
		return err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(br, b); err != nil {
		return err
	}
	return stdjson.Unmarshal(b, m)
}

func benchRaw(b *testing.B, rw io.ReadWriter) {
	br := bufio.NewReader(rw)
	b.ReportAllocs()
	for b.Loop() {
		var m benchEnvelope
		var reply benchReply
		if err := writeRaw(rw, "bench", "", newBenchRequest()); err != nil {
			b.Fatal(err)
		}
		if err := readRaw(br, &m); err != nil {
			b.Fatal(err)
		}
		if err := stdjson.Unmarshal(m.Payload, &reply); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRawLibp2pEncodingJSON(b *testing.B) {
	p := newPair(b)
	reply := newBenchReply()
	p.server.SetStreamHandler(benchProtocol, func(s network.Stream) {
		defer s.Close()
		serveRaw(s, reply)
	})
	s, err := p.caller.NewStream(b.Context(), p.server.ID(), benchProtocol)
	must(b, err)
	defer s.Close()
	benchRaw(b, s)
}

func BenchmarkPlainTCPEncodingJSON(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	defer l.Close()
	reply := newBenchReply()
	go func() {
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			serveRaw(c, reply)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	must(b, err)
	defer c.Close()
	benchRaw(b, c)
}

func BenchmarkDecodeEnvelope(b *testing.B) {
	self := newSender("\x00\x24\x08\x01\x12\x20xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
	m, err := NewMessage(self.id, "stats", newBenchReply())
	must(b, err)
	raw, err := m.MarshalJSON()
	must(b, err)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		var m Message
		if err := decodeEnvelope(raw, &m, self, 32); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeFrame(b *testing.B) {
	self := newSender("\x00\x24\x08\x01\x12\x20xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
	reply := newBenchReply()
	var f frame
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.encodeFrame(header{typ: "stats", sender: self.text, timestamp: time.Now()}, reply, MaxFrame); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFanOut100 is one request to each of 100 servers, all under way at once, as "exec
// get_stats --all" does. An operation is all 100.
func BenchmarkFanOut100(b *testing.B) {
	const servers = 100
	caller := newHost(b)
	client := NewClient(caller, Config{})
	b.Cleanup(func() { client.Close() })
	reply := newBenchReply()
	var cfg Config
	allowAll(&cfg)
	unlimited(&cfg)
	ids := make([]peerID, servers)
	for i := range ids {
		h := newHost(b)
		mux := NewMux(h, cfg)
		must(b, benchCall.Handle(mux, func(context.Context, Peer, benchRequest) (benchReply, error) { return reply, nil }))
		serve(b, mux)
		ids[i] = h.ID()
		caller.Peerstore().AddAddrs(h.ID(), h.Addrs(), peerstoreTTL)
	}
	all := func() {
		var wg sync.WaitGroup
		for _, id := range ids {
			wg.Go(func() {
				if _, err := benchCall.Do(b.Context(), client, id, newBenchRequest()); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	all() // connects
	b.ReportAllocs()
	for b.Loop() {
		all()
	}
	b.ReportMetric(float64(servers)*float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// unlimited lets a benchmark read as fast as it can.
func unlimited(c *Config) { c.Limits.Read = Rate{1e9, 1e9} }
