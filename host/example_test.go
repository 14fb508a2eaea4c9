package host_test

import (
	"context"
	"fmt"
	"os"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
)

// Two nodes: one listens and greets, the other keeps connected with it and listens to nobody.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	greeter, err := host.New(host.Config{StateDir: dir + "/greeter", Listen: listenLoopback})
	if err != nil {
		panic(err)
	}
	defer greeter.Close()
	greeter.SetStreamHandler("/greet/1.0.0", func(s network.Stream) {
		fmt.Fprintln(s, "hello")
		s.Close()
	})
	if err := greeter.Listen(); err != nil {
		panic(err)
	}

	caller, err := host.New(host.Config{
		StateDir:  dir + "/caller",
		NoListen:  true,
		Bootstrap: []peer.AddrInfo{{ID: greeter.ID(), Addrs: greeter.Addrs()}},
	})
	if err != nil {
		panic(err)
	}
	defer caller.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go caller.Run(ctx)

	if err := caller.Connect(ctx, peer.AddrInfo{ID: greeter.ID(), Addrs: greeter.Addrs()}); err != nil {
		panic(err)
	}
	s, err := caller.NewStream(ctx, greeter.ID(), "/greet/1.0.0")
	if err != nil {
		panic(err)
	}
	var word string
	fmt.Fscan(s, &word)
	fmt.Println(word)
	// Output: hello
}
