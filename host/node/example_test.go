package node_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/seed-b490fa12/swarm/host/identity"

	"github.com/multiformats/go-multiaddr"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/node"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/streams"
)

// A message family of an app's own: two payloads, one value, one handler.

type helloRequest struct {
	Name string `json:"name"`
}

type helloReply struct {
	Text string `json:"text"`
}

var hello = streams.Call[helloRequest, helloReply]{
	Family: streams.Family{Name: "greet", Versions: []string{"1.0.0"}}, Request: "hello", Reply: "hello_ack", Verb: "greet.read",
}

func sayHello(_ context.Context, p streams.Peer, r helloRequest) (helloReply, error) {
	return helloReply{"hello, " + r.Name}, nil
}

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	alice := start(ctx, nil)
	defer alice.Close()
	bob := start(ctx, trust.NewOpen(alice.ID())) // bob lets alice in
	defer bob.Close()

	must1(hello.Handle(bob.Mux, sayHello))
	must1(alice.Connect(ctx, info(bob)))
	reply, err := hello.Do(ctx, alice.Client, bob.ID(), helloRequest{"bob"})
	fmt.Println(reply.Text, err)

	must1(bob.Connect(ctx, info(alice)))
	_, err = hello.Do(ctx, bob.Client, alice.ID(), helloRequest{"alice"})
	fmt.Println(streams.CodeOf(err))
	// Output:
	// hello, bob <nil>
	// 501
}

// start makes a node with a new identity on loopback.
func start(ctx context.Context, judge trust.Judge) *node.Node {
	key, err := identity.New()
	must1(err)
	n, err := node.New(node.Config{Judge: judge, Host: host.Config{
		Identity: key, Listen: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/0")},
	}})
	must1(err)
	must1(n.Listen())
	go n.Run(ctx)
	return n
}

func must1(err error) {
	if err != nil {
		panic(err)
	}
}

func ExampleNode_Listener() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	alice := start(ctx, nil)
	defer alice.Close()
	bob := start(ctx, trust.NewOpen(alice.ID())) // bob lets alice in
	defer bob.Close()
	must1(alice.Connect(ctx, info(bob)))

	ln, err := bob.Listener("web", "web.read")
	must1(err)
	go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := bob.WhoCalls(r.RemoteAddr)
		fmt.Fprint(w, "hello, alice: ", who.Peer == alice.ID(), err)
	}))
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return alice.Dial(ctx, bob.ID(), "web")
	}}}
	res, err := client.Get("http://bob/")
	must1(err)
	text, err := io.ReadAll(res.Body)
	fmt.Println(string(text), err)
	// Output:
	// hello, alice: true <nil> <nil>
}
