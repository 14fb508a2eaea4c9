package main

import (
	"context"
	"errors"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/spf13/cobra"

	"github.com/seed-b490fa12/swarm/internal/console"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
	"github.com/seed-b490fa12/swarm/internal/health"
	"github.com/seed-b490fa12/swarm/internal/process"
	"github.com/seed-b490fa12/swarm/internal/reload"
	"github.com/seed-b490fa12/swarm/internal/running"
)

// longLived is a node that others reach: a worker or a relay.
type longLived interface {
	Listen() error
	Run(ctx context.Context) error
	Close() error
}

// take makes this process the one that runs the node of a state directory.
func take(dir, role string) (release func() error, err error) { return running.Take(dir, role) }

// onHangup reloads at SIGHUP what can change while a node runs, until stop is called, which ends ctx. On
// a terminal the signal means that it was closed, and the node ends with it.
func onHangup(cmd *cobra.Command, e *env, n reload.Node) (ctx context.Context, stop func()) {
	n.Running, n.Log = cmd, e.Log
	ctx, cancel := context.WithCancel(cmd.Context())
	var hangups sync.WaitGroup
	if !e.Ask.Present() {
		hangups.Go(func() { n.OnHangup(ctx) })
	}
	return ctx, func() { cancel(); hangups.Wait() }
}

// runNode runs n until ctx ends, and closes it. Ready is called once others can reach it; healthAt,
// if not empty, is where that is told to monitors.
func runNode(ctx context.Context, n longLived, healthAt string, ready func() error) (err error) {
	defer process.OutliveReader()()
	service := health.UnderSystemd() // which is not known any more once it was told
	h, err := health.Start(healthAt)
	if err != nil {
		return errors.Join(err, n.Close())
	}
	defer func() { err = errors.Join(err, h.Close()) }() // the last: it tells that the node stops
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := n.Listen(); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	h.Ready(ctx)
	return stayStopped(n.Run(ctx), service)
}

// readyLine says that a node can be reached.
type readyLine struct {
	Event string   `json:"event"`
	Peer  peer.ID  `json:"peer"`
	Addrs []string `json:"addrs"`
}

// idle is a node that has nothing to do.
type idle struct{}

func (idle) Listen() error             { return nil }
func (idle) Run(context.Context) error { return nil }
func (idle) Close() error              { return nil }

// stayStopped makes the end of a service whose machine has left its fleet a good one, so that systemd does
// not start it again as the node of no fleet.
func stayStopped(err error, service bool) error {
	if service && errors.Is(err, fleetdir.ErrLeft) {
		return &console.Exit{Code: console.ExitOK, Err: err}
	}
	return err
}
