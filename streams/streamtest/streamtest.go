// Package streamtest is a read/write pipe for tests of message families: a
// [streams.Mux] and a [streams.Client] that are connected in memory, without
// libp2p hosts and sockets.
//
//	p := streamtest.New(streamtest.PeerID("worker"), streamtest.PeerID("laptop"), serve, call)
//	defer p.Close()
//	err := Hello.Handle(p.Mux, sayHello)
//	reply, err := Hello.Do(ctx, p.Client, p.Server.ID(), HelloRequest{…})
//
// The streams behave as libp2p's: they are negotiated with multistream-select,
// have a window, half-close, deadlines and resets with codes. All waiting is
// durably blocking in the sense of testing/synctest, so that in a bubble five
// idle minutes pass at once. For more than two peers see [NewHost] and [Connect].
package streamtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/streams"
)

// Pipe is a serving and a calling side that are connected. Its fields are ready to use.
type Pipe struct {
	Mux    *streams.Mux    // on Server
	Client *streams.Client // on Caller
	Server *Host
	Caller *Host
	// Conn is the caller's end of the connection.
	Conn *Conn

	stop   context.CancelFunc
	served chan error
	closed error
}

// New connects a mux at server, which it serves, with a client at caller. The configurations are
// those of the two. Close ends it all.
func New(server, caller peer.ID, serve, call streams.Config) *Pipe {
	p := &Pipe{Server: NewHost(server), Caller: NewHost(caller), served: make(chan error, 1)}
	p.Mux = streams.NewMux(p.Server, serve)
	p.Client = streams.NewClient(p.Caller, call)
	p.Conn = Connect(p.Caller, p.Server)
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() { p.served <- p.Mux.Serve(ctx) }()
	return p
}

// Close drains the mux and closes everything. It returns the error of [streams.Mux.Serve], and may
// be called again.
func (p *Pipe) Close() error {
	p.stop()
	if err, ok := <-p.served; ok {
		close(p.served)
		p.closed = errors.Join(err, p.Client.Close(), p.Caller.Close(), p.Server.Close())
	}
	return p.closed
}

// PeerID returns the peer ID of an Ed25519 key that is made from name, always the same one.
func PeerID(name string) peer.ID {
	seed := sha256.Sum256([]byte(name))
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(seed[:]))
	if err == nil {
		var id peer.ID
		if id, err = peer.IDFromPrivateKey(key); err == nil {
			return id
		}
	}
	panic(fmt.Sprintf("make a peer ID: %v", err)) // cannot happen with 32 bytes
}

// Send sends a message as it is, over a stream of its own, and returns the answers to it.
func (p *Pipe) Send(ctx context.Context, f streams.Family, msg *streams.Message) (answers []*streams.Message, err error) {
	s, err := p.Caller.NewStream(ctx, p.Server.ID(), f.ProtocolID())
	if err != nil {
		return nil, err
	}
	defer s.Reset()
	b, err := msg.MarshalJSON()
	if err == nil {
		_, err = s.Write(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
	}
	if err = errors.Join(err, s.CloseWrite()); err != nil {
		return nil, err
	}
	for r := bufio.NewReader(s); ; {
		size, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			return answers, nil
		}
		b, m := make([]byte, min(size, streams.MaxFrame)), new(streams.Message)
		if err == nil {
			_, err = io.ReadFull(r, b)
		}
		if err == nil {
			err = m.UnmarshalJSON(b)
		}
		if err != nil {
			return answers, err
		}
		answers = append(answers, m)
	}
}
