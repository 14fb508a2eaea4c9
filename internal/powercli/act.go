package powercli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/lines"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/power"
	"github.com/seed-b490fa12/swarm/streams"
)

const (
	// answerTime is how long the machine may take to answer, and lookEvery how often it is asked.
	answerTime = 10 * time.Second
	lookEvery  = time.Second
	// lookTime is how long it may take when it is asked how it stands: one that goes down answers nothing.
	lookTime = 4 * time.Second
)

// errLate ends what takes longer than --timeout.
var errLate = errors.New("the time is over")

// What a Line is about.
const (
	eventAsked  agent.ResultEvent = "asked"
	eventGone   agent.ResultEvent = "gone"
	eventBack   agent.ResultEvent = "back"
	eventFailed agent.ResultEvent = "failed"
)

// Line is a step as a line of JSON.
type Line struct {
	Event  agent.ResultEvent `json:"event"`
	Peer   peer.ID           `json:"peer,omitzero"`
	Name   string            `json:"name,omitzero"`
	OK     *bool             `json:"ok,omitzero"` // false where there is an error
	Error  *lines.Error      `json:"error,omitzero"`
	Action power.Action      `json:"action,omitzero"`
	Boot   string            `json:"bootId,omitzero"`
	// Seconds is the time since the machine has answered.
	Seconds float64 `json:"seconds,omitzero"`
}

// act is one action on one machine.
type act struct {
	*console.Env
	exec   func(context.Context, agent.Job, agent.Selection, func(agent.Result)) (agent.Summary, error)
	name   string
	action power.Action
	noWait bool

	t     agent.Target // once it has answered
	boot  string       // of which the machine was asked
	began time.Time
}

// do asks the person, then the machine, and looks what comes of it.
func (x *act) do(ctx context.Context, yes bool) error {
	var s power.State
	err := x.call(ctx, power.GetPower.Spec(), power.StateRequest{}, &s, answerTime)
	if streams.CodeOf(err) == streams.CodeForbidden {
		err, x.noWait = nil, true // it may be rebooted, and not be looked at
	}
	if err != nil {
		return x.failed(ctx, err)
	}
	if !yes {
		if ok, err := x.confirm(); err != nil || !ok {
			return err
		}
	}
	var ack power.Ack
	if err := x.call(ctx, power.Power.Spec(), power.Request{Action: x.action}, &ack, answerTime); err != nil {
		return x.failed(ctx, err)
	}
	x.boot, x.began = ack.Boot, time.Now()
	if err := x.tell(Line{Event: eventAsked, Action: x.action, Boot: ack.Boot}, Begun(x.action)); err != nil || x.noWait {
		return err
	}
	if err := x.untilGone(ctx); err != nil || x.action == power.Shutdown {
		return err
	}
	return x.untilBack(ctx)
}

func (x *act) confirm() (bool, error) {
	question := fmt.Sprintf("Reboot %s? What runs there is stopped.", output.OneLine(x.t.Label()))
	if x.action == power.Shutdown {
		question = fmt.Sprintf("Shut down %s? It stays off until somebody switches it on.", output.OneLine(x.t.Label()))
	}
	return x.Ask.Confirm(question)
}

// call asks the machine. An error is what it has answered, or why it has not.
func (x *act) call(ctx context.Context, spec streams.Spec, req, into any, within time.Duration) error {
	op, err := agent.Operations().Find(string(spec.Request))
	if err != nil {
		return err
	}
	payload, err := ops.Encode(req)
	if err != nil {
		return err
	}
	if end, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(end))
	}
	var answer agent.Result
	job := agent.Job{Operation: op, Payload: payload, Timeout: within}
	_, err = x.exec(ctx, job, agent.Selection{Names: []string{x.name}}, func(res agent.Result) { answer = res })
	if err != nil {
		return err
	}
	if x.t.Peer == "" {
		x.t = answer.Target
	}
	if answer.Err != nil {
		return answer.Err
	}
	return json.Unmarshal(answer.Payload, into)
}

// look asks how the machine stands until what says that it is enough.
func (x *act) look(ctx context.Context, enough func(power.State, error) (bool, error)) error {
	for {
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
		var s power.State
		err := x.call(ctx, power.GetPower.Spec(), power.StateRequest{}, &s, lookTime)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if done, err := enough(s, err); done || err != nil {
			return err
		}
	}
}

// away reports whether an error says that the machine does not answer.
func away(err error) bool {
	code := streams.CodeOf(err)
	return code == streams.CodeTimeout || code == streams.CodeUnavailable
}

// untilGone waits until the machine does not answer any more, or has booted since.
func (x *act) untilGone(ctx context.Context) error {
	err := x.look(ctx, func(s power.State, err error) (bool, error) {
		switch {
		case away(err):
			return true, x.tell(Line{Event: eventGone, Seconds: x.seconds()}, "is gone"+x.after())
		case err != nil:
			return false, err
		case s.Boot != x.boot:
			return true, nil // it was quick
		case s.Failed != "":
			return false, streams.Errorf(streams.CodeInternal, "it did not %s: %s", x.action, s.Failed)
		case s.Action == "":
			return false, streams.Errorf(streams.CodeInternal, "its worker was started again meanwhile, and the machine was not: ask again")
		}
		return false, nil
	})
	if err != nil && errors.Is(context.Cause(ctx), errLate) {
		err = streams.Errorf(streams.CodeTimeout, "it still answers%s, and runs on as far as is known", x.after())
	}
	return x.failed(ctx, err)
}

// untilBack waits until the machine answers after another boot.
func (x *act) untilBack(ctx context.Context) error {
	err := x.look(ctx, func(s power.State, err error) (bool, error) {
		switch {
		case away(err), err == nil && s.Boot == x.boot:
			return false, nil // it is on its way
		case err != nil:
			return false, err
		}
		return true, x.tell(Line{Event: eventBack, Boot: s.Boot, Seconds: x.seconds()}, "is back"+x.after())
	})
	if err != nil && errors.Is(context.Cause(ctx), errLate) {
		err = streams.Errorf(streams.CodeTimeout, "it is not back%s: look at the machine itself", x.after())
	}
	return x.failed(ctx, err)
}

func (x *act) seconds() float64 { return time.Since(x.began).Seconds() }
func (x *act) after() string    { return " after " + output.Seconds(x.seconds()) }

// tell says what happened.
func (x *act) tell(l Line, words string) error {
	l.Peer, l.Name = x.t.Peer, x.t.Display()
	return x.Print(l, func() error {
		_, err := x.Stdout.Printf("%s %s\n", x.t.Label(), words)
		return err
	})
}

// failed says what the machine has answered, or why it has not, and returns what the exit code is to be.
func (x *act) failed(ctx context.Context, err error) error {
	e, isAnswer := errors.AsType[*streams.Error](err)
	if !isAnswer || x.t.Peer == "" {
		return err
	}
	if x.JSON {
		err = x.tell(Line{Event: eventFailed, OK: new(bool), Error: lines.NewError(err), Seconds: x.seconds()}, "")
	} else {
		results.New(x.Env, nil, true).Fault(x.t.Label(), err)
		err = nil
	}
	if err != nil {
		return err
	}
	var sum agent.Summary
	sum.Add(e)
	return console.Judged(context.WithoutCancel(ctx), sum)
}
