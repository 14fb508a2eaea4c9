package main

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/health"
	"github.com/seed-b490fa12/swarm/internal/process"
)

// longLived is a node that others reach: a worker or a relay.
type longLived interface {
	Listen() error
	Run(ctx context.Context) error
	Close() error
}

// runNode runs n until ctx ends, and closes it. Ready is called once others can reach it; healthAt,
// if not empty, is where that is told to monitors.
func runNode(ctx context.Context, n longLived, healthAt string, ready func() error) (err error) {
	defer process.OutliveReader()()
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
	return n.Run(ctx)
}

// readyLine says that a node can be reached.
type readyLine struct {
	Event string   `json:"event"`
	Peer  peer.ID  `json:"peer"`
	Addrs []string `json:"addrs"`
}
