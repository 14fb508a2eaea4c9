package streams_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// guardCase is one request to a listener with the families of swarm, from a member without rights.
type guardCase struct {
	Name      string `json:"name"`
	Now       string `json:"now"`                // the listener's clock
	Handshake string `json:"handshake,omitzero"` // the peer's clock in its handshake, at now
	Peer      string `json:"peer"`               // of the connection
	Family    string `json:"family"`
	Bytes     string `json:"bytes"` // hexadecimal
	Reply     string `json:"reply"` // type of the answer
	Code      int    `json:"code,omitzero"`
	ReplyTo   string `json:"replyTo,omitzero"`
}

// nothing is the payload of types that these vectors do not look into.
type nothing map[string]any

// serveFamilies registers the types of swarm on m, without their work.
func serveFamilies(t *testing.T, m *streams.Mux) {
	t.Helper()
	call := func(family string, request, reply streams.Type, v streams.Verb) error {
		c := streams.Call[nothing, nothing]{Family: streams.Family{Name: family, Versions: []string{"1.0.0"}}, Request: request, Reply: reply, Verb: v}
		return c.Handle(m, func(context.Context, streams.Peer, nothing) (nothing, error) { return nothing{}, nil })
	}
	noError(t,
		streams.Handshake.Handle(m, func(_ context.Context, _ streams.Peer, h streams.Hello) (streams.Hello, error) { return h, nil }),
		streams.Ping.Handle(m, func(_ context.Context, _ streams.Peer, p streams.PingRequest) (streams.Pong, error) {
			return p.Answer(), nil
		}),
		streams.Disconnect.Handle(m, func(context.Context, streams.Peer, streams.Goodbye) error { return nil }),
		call("ops", "get_stats", "stats", streams.VerbStatsRead),
		call("ops", "start_miner", "miner_ack", streams.VerbMinerControl),
		call("logs", "get_logs", "logs", streams.VerbLogsRead),
	)
}

func guardCases(t *testing.T) (cases []guardCase) {
	me, other := streams.VectorPeer(t, 1), streams.VectorPeer(t, 2)
	now := streams.VectorTime
	id := streams.VectorID(1).String()
	stamp := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339Nano) }
	message := func(typ string, sender peer.ID, at time.Duration, payload string) string {
		return fmt.Sprintf(`{"id":"%s","type":"%s","sender":"%s","timestamp":"%s","payload":%s}`, id, typ, sender, stamp(at), payload)
	}
	add := func(name, family, body, reply string, code int, handshake ...time.Duration) {
		c := guardCase{Name: name, Now: stamp(0), Peer: me.String(), Family: family, Reply: reply, Code: code}
		c.Bytes = hex.EncodeToString(append(binary.AppendUvarint(nil, uint64(len(body))), body...))
		if strings.Contains(body, id) {
			c.ReplyTo = id
		}
		for _, h := range handshake {
			c.Handshake = stamp(h)
		}
		cases = append(cases, c)
	}
	const ping, hello, empty = `{"sentAt":1795249800250}`, `{"version":"1.0.0","families":[]}`, `{}`
	const window, day = 10 * time.Minute, 24 * time.Hour
	add("a ping", "lifecycle", message("ping", me, 0, ping), "pong", 0)
	add("a handshake", "lifecycle", message("handshake", me, 0, hello), "handshake_ack", 0)
	add("a handshake by a clock that is a day off", "lifecycle", message("handshake", me, day, hello), "handshake_ack", 0)
	add("a payload with unknown members", "lifecycle", message("ping", me, 0, `{"sentAt":1,"later":[]}`), "pong", 0)
	add("10 minutes old", "lifecycle", message("ping", me, -window, ping), "pong", 0)
	add("10 minutes and a second old", "lifecycle", message("ping", me, -window-time.Second, ping), "error", 400)
	add("10 minutes ahead", "lifecycle", message("ping", me, window, ping), "pong", 0)
	add("10 minutes and a second ahead", "lifecycle", message("ping", me, window+time.Second, ping), "error", 400)
	add("a clock that is a day ahead, as in its handshake", "lifecycle", message("ping", me, day, ping), "pong", 0, day)
	add("the right time, but a day off its own handshake", "lifecycle", message("ping", me, 0, ping), "error", 400, day)
	add("a forged sender", "lifecycle", message("ping", other, 0, ping), "error", 401)
	add("a forged sender of an old message: the sender comes first", "lifecycle", message("ping", other, -day, ping), "error", 401)
	add("a forged sender of an unknown type", "lifecycle", message("nonsense", other, 0, empty), "error", 401)
	add("an unknown type", "ops", message("nonsense", me, 0, empty), "error", 501)
	add("an old message of an unknown type: its time comes first", "ops", message("nonsense", me, -day, empty), "error", 400)
	add("a type of another family", "lifecycle", message("get_stats", me, 0, empty), "error", 400)
	add("a reply as a request", "lifecycle", message("pong", me, 0, ping), "error", 501)
	add("no right to read", "ops", message("get_stats", me, 0, empty), "error", 403)
	add("no right to an effect", "ops", message("start_miner", me, 0, `{"miner":"refpow"}`), "error", 403)
	add("no right to a feed", "logs", message("get_logs", me, 0, empty), "error", 403)
	add("no right and no payload: the right comes first", "ops", message("get_stats", me, 0, `null`), "error", 403)
	add("a payload that is null", "lifecycle", message("ping", me, 0, `null`), "error", 400)
	add("a payload of the wrong form", "lifecycle", message("ping", me, 0, `[]`), "error", 400)
	add("a payload that breaks a rule", "lifecycle", message("disconnect", me, 0, `{"code":99,"reason":"x"}`), "error", 400)
	add("no id: the answer names no request", "lifecycle", strings.Replace(message("ping", me, 0, ping), `"id":"`+id+`",`, ``, 1), "error", 400)
	add("broken after the id: the answer names it", "lifecycle", message("ping", me, 0, ping)[:100], "error", 400)
	add("a repeated name", "lifecycle", strings.Replace(message("ping", me, 0, ping), `"payload"`, `"type":"ping","payload"`, 1), "error", 400)
	return cases
}

func TestGuardVectors(t *testing.T) {
	const about = "One request each to a listener with the families of swarm, from a member without rights. All are answered: with the type reply, with the code if it is an error, naming replyTo."
	for _, c := range streams.Vectors(t, "guard.json", about, guardCases(t)) {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runGuardCase(t, c) })
		})
	}
}

func runGuardCase(t *testing.T, c guardCase) {
	now, err := time.Parse(time.RFC3339, c.Now)
	noError(t, err)
	time.Sleep(time.Until(now)) // the bubble's clock begins in the year 2000
	self, err := peer.Decode(c.Peer)
	noError(t, err)
	serve := streams.Config{Member: func(peer.ID) bool { return true }}
	p := streamtest.New(streamtest.PeerID("listener"), self, serve, streams.Config{})
	defer p.Close()
	serveFamilies(t, p.Mux)
	if c.Handshake != "" {
		at, err := time.Parse(time.RFC3339, c.Handshake)
		noError(t, err)
		shakeHandsAt(t, p, at)
	}
	raw, err := hex.DecodeString(c.Bytes)
	noError(t, err)
	r := openRaw(t, p, streams.Family{Name: c.Family, Versions: []string{"1.0.0"}})
	r.put(raw)
	m := readMessage(t, r.Reader)
	code := 0
	if m.Type == "error" {
		var e streams.Error
		noError(t, m.ParsePayload(&e))
		code = int(e.Code)
	}
	replyTo := ""
	if m.ReplyTo != [16]byte{} {
		replyTo = m.ReplyTo.String()
	}
	if string(m.Type) != c.Reply || code != c.Code || replyTo != c.ReplyTo || m.Sender != p.Server.ID() {
		t.Errorf("got %s %d to %q from %s, want %s %d to %q: %s", m.Type, code, replyTo, m.Sender, c.Reply, c.Code, c.ReplyTo, m.Payload)
	}
}

func shakeHandsAt(t *testing.T, p *streamtest.Pipe, at time.Time) {
	t.Helper()
	m, err := streams.NewMessage(p.Caller.ID(), "handshake", streams.Hello{Version: "1.0.0"})
	noError(t, err)
	m.Timestamp = at
	b, err := m.MarshalJSON()
	noError(t, err)
	r := openRaw(t, p, streams.LifecycleFamily)
	r.put(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
	if code, words := r.answer(); code != 0 {
		t.Fatal(code, words)
	}
}

func readMessage(t *testing.T, r *bufio.Reader) (m streams.Message) {
	t.Helper()
	n, err := binary.ReadUvarint(r)
	noError(t, err)
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	noError(t, err, m.UnmarshalJSON(b))
	return m
}
