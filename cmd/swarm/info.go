package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/host/node/greet"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/connect"
	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/lines"
	"github.com/seed-b490fa12/swarm/internal/output"
	"github.com/seed-b490fa12/swarm/internal/span"
	"github.com/seed-b490fa12/swarm/streams"
)

func newInfoCommand(e *env) *cobra.Command {
	var (
		r       connect.Reach
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "info [TARGET]",
		Short: "Show what a machine says of itself, or this controller",
		Long: `Show what a machine reports of itself in the handshake: its versions, the message families it speaks
and, to those it knows, its role, name and labels. Without a TARGET, show this controller.`,
		Example: `  swarm info
  swarm info rig-01 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			c, err := r.Controller(e)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			info := ownInfo(c)
			if len(args) == 1 {
				if info, err = peerInfo(cmd.Context(), c, args[0], timeout); err != nil {
					return err
				}
			}
			return e.Print(info, func() error { return printInfo(e, info) })
		},
	}
	r.Flags(cmd.Flags())
	span.Var(cmd.Flags(), &timeout, "timeout", 10*time.Second, "how long to wait for an answer")
	return cmd
}

// nodeInfo is what "swarm info" shows.
type nodeInfo struct {
	Peer     peer.ID              `json:"peer"`
	Name     *string              `json:"name"`
	Role     *string              `json:"role"`
	Labels   map[string]string    `json:"labels"`
	Protocol string               `json:"protocol"`
	Version  *string              `json:"version"` // what the program calls itself
	Families []streams.FamilyInfo `json:"families"`
	Addrs    []string             `json:"addrs"`
	RTTMs    *float64             `json:"rttMs,omitzero"` // not of this machine
	OffsetMs *int64               `json:"clockOffsetMs,omitzero"`
}

func ownInfo(c *agent.Controller) nodeInfo {
	return nodeInfo{
		Peer: c.Node.ID(), Role: lines.Known(agent.RoleController), Protocol: greet.ProtocolVersion, Version: lines.Known("swarm/" + buildVersion()),
		Families: c.Node.Mux.Families(), Addrs: []string{},
	}
}

func peerInfo(ctx context.Context, c *agent.Controller, word string, timeout time.Duration) (nodeInfo, error) {
	t, err := c.Find(word)
	if err != nil {
		return nodeInfo{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p, err := c.Node.Greeting(ctx, t.Peer)
	if err != nil {
		return nodeInfo{}, &console.Exit{Code: console.ExitUnreachable, Err: fmt.Errorf("%s is offline or cut off: %w", t.Label(), err)}
	}
	rtt, offset := float64(p.RTT.Microseconds())/1000, p.ClockOffset.Milliseconds()
	info := nodeInfo{
		Peer: p.ID, Name: lines.Known(cmp.Or(t.Display(), p.Hello.Name)), Role: lines.Known(p.Hello.Role), Labels: p.Hello.Labels,
		Protocol: p.Hello.Version, Families: p.Hello.Families, RTTMs: &rtt, OffsetMs: &offset,
	}
	if v, err := c.Node.Peerstore().Get(p.ID, "AgentVersion"); err == nil {
		text, _ := v.(string)
		info.Version = lines.Known(text)
	}
	for _, conn := range c.Node.Network().ConnsToPeer(p.ID) {
		info.Addrs = append(info.Addrs, conn.RemoteMultiaddr().String())
	}
	return info, nil
}

func printInfo(e *env, i nodeInfo) error {
	line := func(k, v string) { e.Stdout.Printf("%-10s %s\n", k, output.OrDash(v)) }
	line("peer", i.Peer.String())
	line("name", output.Text(i.Name))
	line("role", output.Text(i.Role))
	line("labels", output.Labels(i.Labels))
	line("version", output.Text(i.Version))
	line("protocol", i.Protocol)
	var families []string
	for _, f := range i.Families {
		families = append(families, f.Name+" "+strings.Join(f.Versions, ","))
	}
	line("families", strings.Join(families, "; "))
	line("addresses", strings.Join(i.Addrs, " "))
	if i.RTTMs != nil && i.OffsetMs != nil {
		line("round trip", fmt.Sprintf("%.2f ms", *i.RTTMs))
		line("clock", fmt.Sprintf("%+d ms", *i.OffsetMs))
	}
	return nil
}
