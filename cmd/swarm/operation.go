package main

import (
	"cmp"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/results"
	"github.com/seed-b490fa12/swarm/internal/runcli"
	"github.com/seed-b490fa12/swarm/internal/settings"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/streams"
)

// operation is the command "exec NAME", and "swarm WORD" if it has a word: the words, flags and table
// of an ops.Operation, which agent.Operations lists under the same name.
type operation struct {
	streams.Spec
	// word is its name at the top of the command line; empty: it is no everyday one.
	word string
	// otherWords are what people call it elsewhere; the program says the right one.
	otherWords []string
	// example is written with the word, if there is one.
	short, example string
	// timeout says what --timeout means; empty: how long a machine may take.
	timeout string
	// flags declares the flags of this operation; nil: it has none.
	flags func(*pflag.FlagSet)
	// fill checks the payload that a person gave and fills in what the flags say.
	fill func(payload jsontext.Value) (jsontext.Value, error)
	// bundle, for an upload, opens what the last argument names; it takes the place of fill.
	bundle func(path string) (*deploy.Bundle, error)
	// here answers for this machine, where no machine was chosen; it is nil, or reports false, for what
	// only machines answer.
	here func(e *env, cmd *cobra.Command, payload jsontext.Value, show func(agent.Result)) (bool, error)
	// behind, for one that starts a command and does not wait for it, takes what stands behind "--".
	behind func(argv []string)
	// command, for one that machines are to run, takes what stands behind "--".
	command *runcli.Command
	// table prints the answers of all machines together; it takes the place of show.
	table results.Table
	// show prints an answer as it arrives; nil: as JSON.
	show func(*results.Printer, agent.Result) error
}

// operations are all operations, each made by the file op_NAME.go.
func operations() []operation {
	return []operation{
		opPing(), opGetStats(), opStartMiner(), opStopMiner(), opGetLogs(), opDeploy(), opGetAudit(), opRun(), opShell(), opAttach(),
		opStartWorkload(), opStopWorkload(), opListWorkloads(), opPower(), opGetPower(),
	}
}

// fill returns a fill function: it reads the payload, refuses unknown members, lets edit put in
// what the flags say, and validates the request. A nil edit changes nothing.
func fill[Req any](edit func(*Req) error) func(jsontext.Value) (jsontext.Value, error) {
	return func(payload jsontext.Value) (jsontext.Value, error) {
		req, err := ops.Decode[Req](payload)
		if err != nil {
			return nil, fmt.Errorf("--payload: %w; want an object with the members of the request, or use the flags (--help)", err)
		}
		if edit != nil {
			if err := edit(&req); err != nil {
				return nil, err
			}
		}
		return ops.Encode(req)
	}
}

// show returns a show function that decodes the answer for print.
func show[T any](print func(r *results.Printer, t agent.Target, v T)) func(*results.Printer, agent.Result) error {
	return func(r *results.Printer, res agent.Result) error {
		var v T
		if err := json.Unmarshal(res.Payload, &v); err != nil {
			return err
		}
		print(r, res.Target, v)
		return nil
	}
}

// printer returns what shows the answers; with single one machine was named.
func (op operation) printer(e *env, single bool) *results.Printer {
	p := results.New(e, op.show, single)
	p.Table = op.table
	return p
}

// request makes the payload of a request from --payload and the flags.
func (op operation) request(payload string, stdin io.Reader) (jsontext.Value, error) {
	text, err := settings.Argument(payload, stdin)
	if err != nil {
		return nil, fmt.Errorf("--payload: %w", err)
	}
	return op.fill(jsontext.Value(text))
}

// set assigns a flag's value, unless it is zero, to a member of the payload.
func set[T comparable](member *T, flag T) { *member = cmp.Or(flag, *member) }
