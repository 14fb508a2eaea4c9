package deploy

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/seed-b490fa12/swarm/streams"
)

// wire is a worker and a controller that speak over loopback.
type wire struct {
	client *streams.Client
	worker peer.ID
}

func newWire(t testing.TB, r Receiver, allow bool) wire {
	t.Helper()
	worker, controller := newLoopback(t), newLoopback(t)
	mux := streams.NewMux(worker, streams.Config{Authorize: func(_ context.Context, p streams.Peer, v streams.Verb) error {
		if allow && p.ID == controller.ID() && v == VerbDeploy {
			return nil
		}
		return streams.Errorf(streams.CodeForbidden, "no")
	}})
	if err := Deploy.Handle(mux, Handler(r)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- mux.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	client := streams.NewClient(controller, streams.Config{})
	t.Cleanup(func() { client.Close() })
	controller.Peerstore().AddAddrs(worker.ID(), worker.Addrs(), peerstore.PermanentAddrTTL)
	return wire{client: client, worker: worker.ID()}
}

func newLoopback(t testing.TB) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func TestSend(t *testing.T) {
	s := newStore(t, StoreConfig{})
	w := newWire(t, s, true)
	big := tree{"bin/run*": strings.Repeat("0123456789", 300_000), "readme": "hello"}
	b := bundleOf(t, "app", big)
	var last, total int64
	ack, err := Sending{Progress: func(sent, all int64) {
		if sent < last {
			t.Errorf("progress went back from %d to %d", last, sent)
		}
		last, total = sent, all
	}}.Send(t.Context(), w.client, w.worker, b)
	want := Ack{Name: "app", Success: true, Release: b.Manifest.Release, Bytes: 3_000_005, State: StateDeployed}
	if err != nil || ack != want {
		t.Fatalf("got %+v, %v, want %+v", ack, err, want)
	}
	if last != want.Bytes || total != want.Bytes {
		t.Errorf("progress ended at %d of %d, want %d", last, total, want.Bytes)
	}
	checkCurrent(t, s, "app", big)

	ack, err = Sending{}.Send(t.Context(), w.client, w.worker, b)
	if err != nil || ack.State != StateUnchanged || ack.Bytes != 0 {
		t.Errorf("again: got %+v, %v", ack, err)
	}
}

func TestSendIsRefused(t *testing.T) {
	s := newStore(t, StoreConfig{MaxBytes: EntryBytes + 10})
	small, large := bundleOf(t, "app", tree{"f": "y"}), bundleOf(t, "app", tree{"f": strings.Repeat("y", 11)})
	lying := bundleOf(t, "app", tree{"f": "y"})
	lying.Manifest.Files[0].SHA256 = emptyHash
	lying.Manifest.Release = lying.Manifest.ComputeRelease()
	outside := bundleOf(t, "app", tree{"f": "y"})
	outside.Manifest.Files[0].Path = "../f"
	outside.Manifest.Release = outside.Manifest.ComputeRelease()
	tests := []struct {
		name   string
		to     Receiver
		allow  bool
		bundle *Bundle
		is     error
		want   string
	}{
		{"stranger", s, false, small, streams.ErrForbidden, "no"},
		{"not enabled", nil, true, small, streams.ErrRefused, "not enabled"},
		{"too large", s, true, large, streams.ErrTooLarge, "owner allows 4106"},
		{"other content", s, true, lying, streams.ErrRefused, "SHA-256"},
		{"path that leads out", s, true, outside, streams.ErrInvalid, "lead out"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, tt.to, tt.allow)
			m := tt.bundle.Manifest
			// Not Send: it would notice itself what some of these bundles lie about.
			_, err := Deploy.Do(t.Context(), w.client, w.worker, Request{Manifest: m, Size: m.Size()}, strings.NewReader(strings.Repeat("y", 11)))
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want code %d and %q", err, streams.CodeOf(tt.is), tt.want)
			}
			if _, _, err := s.Current("app"); err == nil {
				t.Error("something was deployed")
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	s := newStore(b, StoreConfig{})
	one, two := bundleOf(b, "app", tree{"f": strings.Repeat("a", 8<<20)}), bundleOf(b, "app", tree{"f": strings.Repeat("b", 8<<20)})
	s.cfg.Keep = 0 // so that each upload is written
	b.SetBytes(8 << 20)
	for i := 0; b.Loop(); i++ {
		apply(b, s, []*Bundle{one, two}[i%2])
	}
}
