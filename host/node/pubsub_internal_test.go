package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// failing is a host whose attempts to open a stream end in these errors, one after the other; nil is a stream.
type failing struct {
	corehost.Host
	errs []error
	net  away
}

// away is a network in which a peer is until that reports false.
type away struct {
	network.Network
	here func() bool
}

func (f *failing) Network() network.Network { return f.net }

func (a away) Connectedness(peer.ID) network.Connectedness {
	if a.here() {
		return network.Connected
	}
	return network.NotConnected
}

func (f *failing) NewStream(ctx context.Context, _ peer.ID, _ ...protocol.ID) (network.Stream, error) {
	if no, _ := network.GetNoDial(ctx); !no {
		return nil, errors.New("it would dial")
	}
	err := f.errs[0]
	if len(f.errs) > 1 {
		f.errs = f.errs[1:]
	}
	return nil, err
}

func TestPatient(t *testing.T) {
	closing, none := errors.New("connection closed"), multistream.ErrNotSupported[protocol.ID]{}
	for _, tt := range []struct {
		name string
		errs []error
		gone time.Duration // since when the peer is away; 0 is never
		ends time.Duration // when ctx does
		took time.Duration
		err  error
	}{
		{"at once", []error{nil}, 0, time.Hour, 0, nil},
		{"a connection was just closing", []error{closing, nil}, 0, time.Hour, time.Second, nil},
		{"a grant is renewed later", []error{closing, closing, closing, closing, closing, closing, nil}, 0, time.Hour, 61 * time.Second, nil},
		{"it does not speak the protocol", []error{closing, none}, 0, time.Hour, time.Second, none},
		{"it goes away", []error{closing}, 10 * time.Second, time.Hour, 91 * time.Second, closing},
		{"a stranger goes away", []error{trust.ErrStranger, network.ErrNoConn}, 10 * time.Second, time.Hour, 15 * time.Second, network.ErrNoConn},
		{"pubsub ends", []error{closing}, 0, 10 * time.Second, 10 * time.Second, closing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.ends)
				defer cancel()
				began := time.Now()
				f := &failing{errs: tt.errs, net: away{here: func() bool { return tt.gone == 0 || time.Since(began) < tt.gone }}}
				_, err := patient{f}.NewStream(ctx, "", "/p/1")
				if took := time.Since(began); !errors.Is(err, tt.err) || took != tt.took {
					t.Errorf("%v after %v, want %v after %v", err, took, tt.err, tt.took)
				}
			})
		})
	}
}
