package streams_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// FuzzServedStream writes bytes to a served stream as a stranger does: whatever they are, there is
// no effect, and the stream ends soon with answers that are messages.
func FuzzServedStream(f *testing.F) {
	var effects atomic.Int64
	serve := streams.Config{
		Authorize: func(context.Context, streams.Peer, streams.Verb) error {
			return streams.Errorf(streams.CodeForbidden, "no")
		},
		Member: func(peer.ID) bool { return true }, // no rate
	}
	p := streamtest.New(streamtest.PeerID("server"), streamtest.PeerID("caller"), serve, streams.Config{})
	f.Cleanup(func() { p.Close() })
	effect := func(_ context.Context, _ streams.Peer, v text) (text, error) {
		effects.Add(1)
		return v, nil
	}
	err := errors.Join(read.Handle(p.Mux, effect), work.Handle(p.Mux, effect),
		streams.Ping.Handle(p.Mux, func(_ context.Context, _ streams.Peer, r streams.PingRequest) (streams.Pong, error) {
			return r.Answer(), nil
		}))
	if err != nil {
		f.Fatal(err)
	}
	message := func(typ streams.Type, payload string) []byte {
		m, _ := streams.NewMessage(p.Caller.ID(), typ, struct{}{})
		m.Payload = []byte(payload)
		b, _ := m.MarshalJSON()
		return framed(b)
	}
	f.Add([]byte{})
	f.Add(message("read", `{"text":"x"}`))
	f.Add(bytes.Repeat(message("work", `{"text":"x"}`), 3))
	f.Add(append(message("read", `null`), 0x80))
	f.Add([]byte{0x81, 0x80, 0x40})
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := p.Caller.NewStream(t.Context(), p.Server.ID(), family.ProtocolID())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Reset()
		s.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			s.Write(in)
			s.CloseWrite()
		}()
		r := bufio.NewReader(s)
		for {
			n, err := binary.ReadUvarint(r)
			if err == io.EOF {
				break
			}
			b := make([]byte, min(n, streams.MaxFrame))
			if err == nil {
				_, err = io.ReadFull(r, b)
			}
			var m streams.Message
			if err == nil {
				err = m.UnmarshalJSON(b)
			}
			if err != nil || m.Sender != p.Server.ID() || m.Type != "error" {
				t.Fatalf("answer %q to %q: %v", b, in, err)
			}
		}
		if effects.Load() != 0 {
			t.Fatal("a stranger's bytes had an effect")
		}
	})
}
