// Package powercli is the command that reboots a machine or shuts it down, and looks what comes of it.
package powercli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/span"
	"github.com/seed-b490fa12/swarm/ops/power"
)

// Request is what is asked of many machines at once, without a question, with its flags.
type Request struct {
	action string
	yes    bool
}

// Flags declares the flags.
func (r *Request) Flags(f *pflag.FlagSet) {
	f.StringVar(&r.action, "action", "", "`WHAT` is done: reboot or shutdown")
	f.BoolVar(&r.yes, "yes", false, "do it: nobody is asked again")
}

// Fill puts what was said into a request.
func (r *Request) Fill(req *power.Request) error {
	if r.action != "" {
		req.Action = power.Action(r.action)
	}
	if !r.yes {
		return errors.New("all that runs on these machines is stopped: to have it done without a question, give --yes; swarm power asks, and looks what comes of it")
	}
	return nil
}

// Begun says that a machine is about to do it.
func Begun(a power.Action) string {
	if a == power.Shutdown {
		return "is about to shut down"
	}
	return "is about to reboot"
}

// Stands says how a machine stands.
func Stands(s power.State) string {
	switch {
	case s.Action != "":
		return Begun(s.Action)
	case s.Failed != "":
		return "did not do what was asked: " + s.Failed
	}
	return "runs"
}

// How long a machine may take, where nobody says anything else.
const (
	rebootWithin   = 10 * time.Minute
	shutdownWithin = 3 * time.Minute
)

// New returns the command.
func New(e *console.Env) *cobra.Command {
	var (
		r           connect.Reach
		yes, noWait bool
		timeout     time.Duration
	)
	cmd := &cobra.Command{
		Use:        "power TARGET reboot|shutdown",
		SuggestFor: []string{"reboot", "restart", "shutdown", "poweroff", "halt"},
		Short:      "Reboot a machine or shut it down, and see what comes of it",
		Long: `Reboot a machine, or shut it down, and wait until it is back, or gone. The owner there allows it with
--enable power, at swarm worker or swarm join; and the worker's user has to have the right: root has, and
others where polkit lets them (org.freedesktop.login1.reboot and power-off).

A request that is repeated, because the answer was lost, is done once, also after the boot. What the
owner wants to run is started again with the machine. With --json there is a line for each step:
{"event":"asked"|"gone"|"back"|"failed",…}.`,
		Example: `  swarm power rig-01 reboot
  swarm power rig-01 shutdown --yes
  swarm power rig-01 reboot --no-wait --yes`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			a := power.Action(args[1])
			if !cmd.Flags().Changed("timeout") {
				timeout = map[power.Action]time.Duration{power.Reboot: rebootWithin, power.Shutdown: shutdownWithin}[a]
			}
			c, err := r.Commander(cmd.Context(), e)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), e.Within(timeout), errLate)
			defer cancel()
			x := &act{Env: e, exec: c.Exec, name: args[0], action: a, noWait: noWait}
			return x.do(ctx, yes)
		},
	}
	r.Flags(cmd.Flags())
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "end when the machine has answered, and do not look what comes of it")
	span.Var(cmd.Flags(), &timeout, "timeout", 0, "how long it may take in all (default: 10m to reboot, 3m to shut down)")
	return cmd
}

func arguments(_ *cobra.Command, args []string) error {
	switch {
	case len(args) != 2:
		return errors.New("do what? A machine, and reboot or shutdown, as in: swarm power rig-01 reboot")
	case !slices.Contains(power.Actions(), power.Action(args[1])):
		return fmt.Errorf("do what? Not %.40q: reboot or shutdown", args[1])
	}
	return nil
}
