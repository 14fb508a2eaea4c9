// Package forwardcli is the command that forwards connections to a machine: what a person types, and what
// is told.
package forwardcli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/span"
)

// askWithin is how long the machine may take to answer, where nobody says anything else.
const askWithin = 30 * time.Second

// New returns the command.
func New(e *console.Env) *cobra.Command {
	var (
		r          connect.Reach
		timeout    time.Duration
		anyAddress bool
	)
	cmd := &cobra.Command{
		Use:        "forward TARGET [LOCAL:]REMOTE…",
		SuggestFor: []string{"tunnel", "port-forward", "proxy", "web", "open"},
		Short:      "Reach a port of a machine, such as its miner's web page, by one of this machine",
		Long: `Carry TCP connections to a port of this machine over the swarm to one of another machine, for as long as
the command runs. The owner there has listed each address: swarm worker --enable forward=127.0.0.1:80,
or with swarm join.

LOCAL is a PORT, of the loopback; 0 takes a free one. With an address before it, as 127.0.0.1:8080 or
[::1]:8080, it is that one; other machines than this one can only connect where --listen-any allows it.
REMOTE is HOST:PORT as the machine sees it, or a PORT of the machine itself. One PORT alone is both.

When the way to the machine is lost, open connections are reset, and new ones work once it is back. With
--json there is a line for each address, {"event":"listening","listen":"127.0.0.1:8080","target":"127.0.0.1:80",…},
and one for each connection that could not be made, {"event":"failed",…}.`,
		Example: `  swarm forward rig-01 8080:80                 # http://127.0.0.1:8080 is the page of rig-01
  swarm forward rig-01 8080:192.168.1.20:80    # a machine beside it
  swarm forward rig-01 0:4067 0:127.0.0.1:22   # free ports`,
		Args: forwardArgs,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			f := agent.Forwarding{Machine: args[0], Timeout: timeout}
			for _, word := range args[1:] {
				route, err := Parse(word, anyAddress)
				if err != nil {
					return err
				}
				f.Routes = append(f.Routes, route)
			}
			c, err := r.Commander(cmd.Context(), e)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			f.Timeout = e.Within(f.Timeout)
			view := &View{Env: e}
			return e.Following(cmd.Context(), func(ctx context.Context) error {
				return errors.Join(c.Forward(ctx, f, view.Show), view.Outcome(ctx))
			})
		},
	}
	r.Flags(cmd.Flags())
	cmd.Flags().BoolVar(&anyAddress, "listen-any", false, "take connections from other machines, too, where LOCAL has such an address")
	span.Var(cmd.Flags(), &timeout, "timeout", askWithin, "how long the machine may take to say that it may be so")
	return cmd
}

func forwardArgs(_ *cobra.Command, args []string) error {
	if len(args) < 2 {
		return errors.New("forward what? A machine, and LOCAL:REMOTE, as in: swarm forward rig-01 8080:80")
	}
	return nil
}
