// Package ownlog shows the log of this machine's own worker.
package ownlog

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/agentlog"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/ops"
)

// Show shows what the worker of this machine has logged, whether it runs or not. It returns false where
// the payload asks for something else.
func Show(e *console.Env, cmd *cobra.Command, payload jsontext.Value, show func(agent.Result)) (bool, error) {
	req, err := ops.Decode[ops.LogsRequest](payload)
	if err != nil || !req.Agent {
		return false, err
	}
	if req.Follow {
		return true, errors.New("--follow asks a worker that runs: give its name, or look at its service: journalctl -fu swarm-worker")
	}
	n, err := console.EachNode(cmd.Context(), e, cmd, agentlog.Kept, func(n console.Node) error {
		l, err := agentlog.Look(n.Dir)
		if err != nil {
			return err
		}
		_, id, err := fleetdir.Identity(n.Dir) // it is there
		if err != nil {
			return err
		}
		lines, err := ops.ReadAgentLog(l, req)
		if err != nil {
			return err
		}
		text, err := json.Marshal(lines)
		show(agent.Result{Target: agent.Target{Peer: id, Name: "this machine"}, Type: ops.GetLogs.Reply, Payload: text, Done: true, Feed: true})
		return err
	})
	if n == 0 && err == nil {
		err = errors.New("no worker has run on this machine; name one that did elsewhere: swarm logs NAME --agent")
	}
	return true, err
}
