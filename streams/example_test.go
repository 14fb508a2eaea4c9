package streams_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-b490fa12/swarm/streams"
	"github.com/seed-b490fa12/swarm/streams/streamtest"
)

// A family is declared once, for both sides.
var clock = streams.Family{Name: "clock", Versions: []string{"1.0.0"}}

type (
	setAlarm struct {
		Hour int `json:"hour"`
	}
	alarm struct {
		Text string `json:"text"`
	}
)

// Validate runs before the handler sees the request.
func (s setAlarm) Validate() error {
	if s.Hour < 0 || s.Hour > 23 {
		return fmt.Errorf("hour %d: want 0 to 23", s.Hour)
	}
	return nil
}

var (
	SetAlarm = streams.Call[setAlarm, alarm]{Family: clock, Request: "set_alarm", Reply: "alarm", Verb: "clock.set"}
	Ticks    = streams.Feed[setAlarm, alarm]{Family: clock, Request: "get_ticks", Reply: "tick", Verb: "clock.read"}
)

// pipeForExample stands for two nodes; on a real one, NewMux and NewClient take a
// libp2p host.
func pipeForExample() *streamtest.Pipe {
	owner := func(_ context.Context, p streams.Peer, v streams.Verb) error { return nil }
	return streamtest.New(streamtest.PeerID("clock"), streamtest.PeerID("owner"), streams.Config{Authorize: owner}, streams.Config{})
}

// One request and one reply. An error of the peer is a value with a code.
func ExampleCall() {
	p := pipeForExample()
	defer p.Close()
	err := SetAlarm.Handle(p.Mux, func(_ context.Context, _ streams.Peer, r setAlarm) (alarm, error) {
		return alarm{fmt.Sprintf("at %d:00", r.Hour)}, nil
	})
	if err != nil {
		fmt.Println(err)
	}
	for _, hour := range []int{7, 24} {
		reply, err := SetAlarm.Do(context.Background(), p.Client, p.Server.ID(), setAlarm{Hour: hour})
		fmt.Println(reply.Text, err, errors.Is(err, streams.ErrInvalid))
	}
	// Output:
	// at 7:00 <nil> false
	//  400: payload: hour 24: want 0 to 23 true
}

// One request and many items, as they arrive.
func ExampleFeed() {
	p := pipeForExample()
	defer p.Close()
	err := Ticks.Handle(p.Mux, func(_ context.Context, _ streams.Peer, r setAlarm, send func(alarm) error) (alarm, error) {
		for range r.Hour {
			if err := send(alarm{"tick"}); err != nil {
				return alarm{}, err
			}
		}
		return alarm{"dong"}, nil
	})
	if err != nil {
		fmt.Println(err)
	}
	for tick, err := range Ticks.Do(context.Background(), p.Client, p.Server.ID(), setAlarm{Hour: 2}) {
		fmt.Println(tick.Text, err)
	}
	// Output:
	// tick <nil>
	// tick <nil>
	// dong <nil>
}
