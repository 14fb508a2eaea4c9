// Package streams carries typed messages over libp2p streams: one JSON
// envelope, and one place for limits, rights and errors.
//
// A message family is one stream protocol ID. Its types are declared as
// values, which both sides share:
//
//	var Family = streams.Family{Name: "greet", Versions: []string{"1.0.0"}}
//
//	var Hello = streams.Call[HelloRequest, HelloReply]{
//		Family: Family, Request: "hello", Reply: "hello_ack", Verb: "greet.read",
//	}
//
// The serving side registers a handler on its [Mux], the asking side calls
// through its [Client]:
//
//	err := Hello.Handle(mux, func(ctx context.Context, p streams.Peer, r HelloRequest) (HelloReply, error) { … })
//	reply, err := Hello.Do(ctx, client, peerID, HelloRequest{…})
//
// There are six shapes on streams and one on pubsub: [Call] (one request, one
// reply), [Feed] (one request, many items), [Bidi] (the same, and inputs
// meanwhile), [Upload] (one request and raw bytes, one reply), [Notice] (one
// message, no reply), [Duplex] (one request that opens a net.Conn) and [Topic]
// (pushed to all subscribers).
//
// Payloads are any types that JSON can hold. Give their fields JSON tags: these
// are the names on the wire, letter for letter.
//
// Every request passes the same guard before a handler sees it, in this
// order: bounded read with a deadline, envelope, sender, freshness, rate,
// rights, payload. A request that could be read is always answered, with a
// reply or with a typed [Error]. The wire is described in docs/protocol.md, and
// testdata/vectors holds test vectors for other implementations.
//
// A family is tested without sockets by package streamtest.
package streams
