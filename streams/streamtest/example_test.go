package streamtest_test

import (
	"context"
	"fmt"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

type Question struct {
	Name string `json:"name"`
}

type Answer struct {
	Text string `json:"text"`
}

var Greet = streams.Call[Question, Answer]{
	Family: streams.Family{Name: "greet", Versions: []string{"1.0.0"}}, Request: "greet", Reply: "greeting", Verb: "greet.read",
}

// A message family is tested with its real guard and its real client; only the
// network is memory.
func Example() {
	serve := streams.Config{
		Authorize: func(_ context.Context, p streams.Peer, v streams.Verb) error {
			if p.ID != streamtest.PeerID("friend") {
				return streams.Errorf(streams.CodeForbidden, "only the friend may %s", v)
			}
			return nil
		},
	}
	for _, who := range []string{"friend", "stranger"} {
		p := streamtest.New(streamtest.PeerID("server"), streamtest.PeerID(who), serve, streams.Config{})
		err := Greet.Handle(p.Mux, func(_ context.Context, _ streams.Peer, q Question) (Answer, error) {
			return Answer{"hello " + q.Name}, nil
		})
		if err != nil {
			fmt.Println(err)
		}
		answer, err := Greet.Do(context.Background(), p.Client, p.Server.ID(), Question{who})
		fmt.Printf("%q %v\n", answer.Text, err)
		if err := p.Close(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// "hello friend" <nil>
	// "" 403: only the friend may greet.read
}
