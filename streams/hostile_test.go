package streams_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// hostile is a server that reads a request and answers as it likes.
type hostile struct {
	name   string
	answer func(s network.Stream, req streams.Message)
	code   streams.Code
	words  string
}

func framed(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }

func hostileServers(self *streamtest.Host) []hostile {
	reply := func(change func(*streams.Message)) func(network.Stream, streams.Message) {
		return func(s network.Stream, req streams.Message) {
			m, _ := req.Reply(self.ID(), req.Type+"_ack", text{Text: "x"})
			change(m)
			b, err := m.MarshalJSON()
			if err != nil {
				panic(err)
			}
			s.Write(framed(b))
		}
	}
	edited := func(old, now string) func(network.Stream, streams.Message) {
		return func(s network.Stream, req streams.Message) {
			m, _ := req.Reply(self.ID(), req.Type+"_ack", text{Text: "x"})
			b, _ := m.MarshalJSON()
			s.Write(framed(bytes.Replace(b, []byte(old), []byte(now), 1)))
		}
	}
	raw := func(b []byte) func(network.Stream, streams.Message) {
		return func(s network.Stream, _ streams.Message) {
			s.Write(b)
			s.CloseWrite()
		}
	}
	reset := func(code network.StreamErrorCode) func(network.Stream, streams.Message) {
		return func(s network.Stream, _ streams.Message) { s.ResetWithError(code) }
	}
	const broke = "broke the protocol"
	return []hostile{
		{"another request's reply", reply(func(m *streams.Message) { m.ReplyTo = uuid.New() }), 500, broke},
		{"a reply to nothing", reply(func(m *streams.Message) { m.ReplyTo = uuid.Nil }), 500, broke},
		{"another sender", reply(func(m *streams.Message) { m.Sender = streamtest.PeerID("caller") }), 500, broke},
		{"another type", reply(func(m *streams.Message) { m.Type = "other" }), 500, broke},
		{"an error without a code", reply(func(m *streams.Message) { m.Type = "error" }), 500, broke},
		{"an error of another sender", reply(func(m *streams.Message) {
			m.Type, m.Sender, m.Payload = "error", streamtest.PeerID("caller"), []byte(`{"code":403,"message":"x"}`)
		}), 500, broke},
		{"a null payload", reply(func(m *streams.Message) { m.Payload = []byte(`null`) }), 500, broke},
		{"a payload of the wrong form", reply(func(m *streams.Message) { m.Payload = []byte(`[1]`) }), 500, broke},
		{"a deep payload", edited(`"x"`, strings.Repeat("[", 40)+strings.Repeat("]", 40)), 500, broke},
		{"a duplicate name", edited(`{"id"`, `{"type":"x","id"`), 500, broke},
		{"garbage in a frame", raw(framed([]byte("garbage"))), 500, broke},
		{"an empty frame", raw([]byte{0}), 500, broke},
		{"a frame of 2 MiB", raw(framed(make([]byte, 2<<20))), 500, broke},
		{"a length of 2^63", raw(append(bytes.Repeat([]byte{0x80}, 9), 1)), 500, broke},
		{"a length that is too long", raw([]byte{0x81, 0x00}), 500, broke},
		{"the end at once", raw(nil), 503, "without an answer"},
		{"half a length", raw([]byte{0x80}), 503, "without an answer"},
		{"half a frame", raw([]byte{100, '{'}), 503, "without an answer"},
		{"a reset", reset(0), 503, "lost"},
		{"a reset for a limit", reset(network.StreamResourceLimitExceeded), 429, "refuses more"},
		{"a reset for the rate", reset(network.StreamRateLimited), 429, "refuses more"},
		{"a reset by a gate", reset(network.StreamGated), 403, "does not let"},
		{"a reset on shutdown", reset(network.StreamShutdown), 503, "shutting down"},
		{"a reset with a code of its own", reset(0x7777), 503, "lost"},
		{"silence", func(network.Stream, streams.Message) {}, 408, "in time"},
		{"half a frame and silence", func(s network.Stream, _ streams.Message) { s.Write([]byte{100, '{'}) }, 408, "in time"},
		{"a closed connection", func(s network.Stream, _ streams.Message) { s.Conn().Close() }, 503, "lost"},
		{"an error in words", reply(func(m *streams.Message) {
			m.Type, m.Payload = "error", []byte(`{"code":409,"message":"two\nlines","details":{"a":1}}`)
		}), 409, "two\nlines"},
	}
}

// serveHostile reads one request on each stream of the test families and lets h answer it.
func serveHostile(server *streamtest.Host, h hostile) {
	for _, f := range []streams.Family{family, send.Family} {
		id := f.ProtocolID()
		server.SetStreamHandlerMatch(id, func(got protocol.ID) bool { return got == id }, func(s network.Stream) {
			r := bufio.NewReader(s)
			n, err := binary.ReadUvarint(r)
			if err != nil {
				return
			}
			b := make([]byte, n)
			var req streams.Message
			if _, err := io.ReadFull(r, b); err == nil && req.UnmarshalJSON(b) == nil {
				h.answer(s, req)
			}
		})
	}
}

func TestHostileServers(t *testing.T) {
	shapes := map[string]func(ctx context.Context, c *streams.Client, server *streamtest.Host) error{
		"call": func(ctx context.Context, c *streams.Client, server *streamtest.Host) error {
			_, err := read.Do(ctx, c, server.ID(), text{})
			return err
		},
		"feed": func(ctx context.Context, c *streams.Client, server *streamtest.Host) (last error) {
			for _, err := range hostileFeed.Do(ctx, c, server.ID(), text{}) {
				last = err
			}
			return last
		},
		"upload": func(ctx context.Context, c *streams.Client, server *streamtest.Host) error {
			_, err := send.Do(ctx, c, server.ID(), text{Size: 10}, strings.NewReader("0123456789"))
			return err
		},
	}
	probe := streamtest.NewHost(streamtest.PeerID("server"))
	defer probe.Close()
	for shape, do := range shapes {
		for _, h := range hostileServers(probe) {
			t.Run(shape+", "+h.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server, caller := streamtest.NewHost(streamtest.PeerID("server")), streamtest.NewHost(streamtest.PeerID("caller"))
					defer server.Close()
					defer caller.Close()
					serveHostile(server, h)
					streamtest.Connect(caller, server)
					client := streams.NewClient(caller, streams.Config{})
					defer client.Close()
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					err := do(ctx, client, server)
					e, ok := errors.AsType[*streams.Error](err)
					if !ok || e.Code != h.code || !strings.Contains(e.Message, h.words) {
						t.Errorf("got %v, want %d with %q", err, h.code, h.words)
					}
				})
			})
		}
	}
}

// hostileFeed asks for a type whose items are as hostileServers send them.
var hostileFeed = streams.Feed[text, text]{Family: family, Request: "read", Reply: "read_ack", Verb: streams.VerbLogsRead}

// A feed whose server goes wrong after some good items yields them, and then the error.
func TestFeedThatGoesWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, caller := streamtest.NewHost(streamtest.PeerID("server")), streamtest.NewHost(streamtest.PeerID("caller"))
		defer server.Close()
		defer caller.Close()
		serveHostile(server, hostile{answer: func(s network.Stream, req streams.Message) {
			for i := range 3 {
				m, _ := req.Reply(server.ID(), "read_ack", text{Text: fmt.Sprint(i)})
				b, _ := m.MarshalJSON()
				s.Write(framed(b))
			}
			s.Write(framed([]byte("garbage")))
		}})
		streamtest.Connect(caller, server)
		client := streams.NewClient(caller, streams.Config{})
		defer client.Close()
		var got []string
		var last error
		for item, err := range hostileFeed.Do(t.Context(), client, server.ID(), text{}) {
			if last = err; err == nil {
				got = append(got, item.Text)
			}
		}
		if fmt.Sprint(got) != "[0 1 2]" || !errors.Is(last, streams.ErrInternal) {
			t.Errorf("got %v and %v", got, last)
		}
		if n := len(caller.Network().Conns()[0].GetStreams()); n != 0 {
			t.Errorf("%d streams are kept of a peer that broke the protocol", n)
		}
	})
}
