package streams

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// muteConn has one stream, whose other side never answers.
type muteConn struct {
	network.Conn
	stream muteStream
}

func (c *muteConn) NewStream(context.Context) (network.Stream, error) { return &c.stream, nil }

type muteStream struct {
	network.Stream
	sent bytes.Buffer
	end  chan struct{} // closed by Reset
	once sync.Once
}

func (s *muteStream) Reset() error {
	s.once.Do(func() { close(s.end) })
	return nil
}
func (s *muteStream) SetProtocol(protocol.ID) error { return nil }
func (s *muteStream) Read([]byte) (int, error) {
	<-s.end
	return 0, io.EOF
}
func (s *muteStream) Write(b []byte) (int, error) { return s.sent.Write(b) }

// TestRequestGoesWithItsProtocol: a request over a new stream of a connection waits for no answer to
// the proposal, which would be a round trip more.
func TestRequestGoesWithItsProtocol(t *testing.T) {
	id := LifecycleFamily.ProtocolID()
	c := &muteConn{stream: muteStream{end: make(chan struct{})}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := openOn(ctx, c, []protocol.ID{id})
	if err != nil {
		t.Fatalf("it waits for an answer: %v", err)
	}
	defer s.Reset()
	if _, err := s.Write([]byte("request")); err != nil {
		t.Fatal(err)
	}
	want := "\x13/multistream/1.0.0\n" + string(rune(len(id)+1)) + string(id) + "\nrequest"
	if got := c.stream.sent.String(); got != want {
		t.Errorf("sent %q without an answer, want %q", got, want)
	}
}
