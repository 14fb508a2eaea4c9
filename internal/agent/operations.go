package agent

import (
	"github.com/seed-b490fa12/swarm/deploy"
	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/internal/audit"
	"github.com/seed-b490fa12/swarm/ops"
	"github.com/seed-b490fa12/swarm/ops/power"
	"github.com/seed-b490fa12/swarm/ops/run"
)

// Operations are what a controller can ask for, and a worker serves.
func Operations() ops.Operations { return operations(served{}) }

// served is what the operations of a worker use; its zero value is for asking only.
type served struct {
	ops    ops.Worker
	deploy deploy.Receiver
	audit  *audit.Recorder
	run    *run.Service
	power  *power.Service
}

func operations(w served) ops.Operations {
	return append(ops.Of(w.ops),
		ops.FromCall(greet.Ping, nil), // every node answers it
		ops.FromUpload(deploy.Deploy, deploy.Handler(w.deploy)),
		audit.Operation(w.audit),
		ops.FromBidi(run.Run, run.Handler(w.run)),
		ops.FromBidi(run.Shell, run.ShellHandler(w.run)),
		ops.FromFeed(run.Attach, run.AttachHandler(w.run)),
		ops.FromCall(power.Power, power.Handler(w.power)),
		ops.FromCall(power.GetPower, power.StateHandler(w.power)),
	)
}
