//go:build unix

package cp

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/streams"
)

const benchBytes = 128 << 20

func benchHost(b *testing.B) host.Host {
	rm, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(rcmgr.InfiniteLimits))
	must(b, err)
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.ResourceManager(rm), libp2p.DisableMetrics())
	must(b, err)
	b.Cleanup(func() { h.Close() })
	return h
}

// BenchmarkCopy copies a file of 128 MiB, and 10,000 files of 1 KiB, over TCP on this machine: beside the same
// file as a deployment, with the time that it takes to make that of it.
func BenchmarkCopy(b *testing.B) {
	worker, laptop := benchHost(b), benchHost(b)
	mux := streams.NewMux(worker, streams.Config{
		Authorize: func(context.Context, streams.Peer, streams.Verb) error { return nil }, Member: func(peer.ID) bool { return true },
		Limits: streams.Limits{Effect: streams.Rate{PerSecond: 1e6, Burst: 1e6}},
	})
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- mux.Serve(ctx) }()
	client := streams.NewClient(laptop, streams.Config{})
	b.Cleanup(func() { client.Close(); stop(); must(b, <-served) })
	laptop.Peerstore().AddAddrs(worker.ID(), worker.Addrs(), peerstore.PermanentAddrTTL)
	there, here := b.TempDir(), b.TempDir()
	service := New(Config{Place: func(path string) (string, string, error) { return there, path, nil }})
	must(b, service.Register(mux))
	store, err := deploy.OpenStore(deploy.StoreConfig{Dir: filepath.Join(b.TempDir(), "deploy")})
	must(b, err)
	must(b, deploy.Deploy.Handle(mux, deploy.Handler(store)))

	large := []byte(strings.Repeat(string(random()[:8<<20]), benchBytes/(8<<20)))
	must(b, os.WriteFile(here+"/large", large, 0o600), os.WriteFile(there+"/large", large, 0o600))
	for i := range 10_000 {
		for _, dir := range []string{here, there} {
			write(b, fmt.Sprintf("%s/small/%d/%d", dir, i%100, i), random()[i:i+1024], 0o644)
		}
	}
	b.Run("deploy", func(b *testing.B) {
		b.SetBytes(benchBytes)
		for i := 0; b.Loop(); i++ {
			bundle, err := deploy.Open(here+"/large", fmt.Sprint("large", i), 0)
			must(b, err)
			_, err = deploy.Sending{}.Send(ctx, client, worker.ID(), bundle)
			must(b, err)
		}
	})
	for name, do := range map[string]func(i int) error{
		"put/large": func(i int) error {
			_, err := Copying{}.Put(ctx, client, worker.ID(), here+"/large", fmt.Sprint("put", i))
			return err
		},
		"get/large": func(i int) error {
			_, err := Copying{}.Get(ctx, client, worker.ID(), "large", fmt.Sprint(here, "/get", i))
			return err
		},
		"put/small": func(i int) error {
			_, err := Copying{}.Put(ctx, client, worker.ID(), here+"/small", fmt.Sprint("small", i))
			return err
		},
		"get/small": func(i int) error {
			_, err := Copying{}.Get(ctx, client, worker.ID(), "small", fmt.Sprint(here, "/small", i))
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchBytes)
			if strings.HasSuffix(name, "small") {
				b.SetBytes(10_000 * 1024)
			}
			for i := 0; b.Loop(); i++ {
				must(b, do(i))
			}
		})
	}
}
