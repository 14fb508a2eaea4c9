// Package fleetdir opens what a node keeps of its fleet in its state directory, and tells what
// its owner has to look at.
package fleetdir

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/identity"
	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/ticket"
	"github.com/seed-b490fa12/swarm/internal/clock"
)

// Where a node keeps what it knows of its fleet, in its state directory.
const (
	fleetDir    = "fleet"
	ticketsDir  = "tickets" // in fleetDir
	rootKeyFile = "root.key"
)

// Dir is where a node with this state directory keeps its membership.
func Dir(stateDir string) string { return filepath.Join(stateDir, fleetDir) }

// RootKeyPath is where the root key is looked for when no other place is named.
func RootKeyPath(stateDir string) string { return filepath.Join(stateDir, rootKeyFile) }

// Identity loads or makes the key of a node, and returns its peer ID.
func Identity(stateDir string) (crypto.PrivKey, peer.ID, error) {
	key, err := identity.LoadOrCreate(identity.Path(stateDir))
	if err != nil {
		return nil, "", err
	}
	id, err := peer.IDFromPrivateKey(key)
	return key, id, err
}

// Config returns how the membership in a state directory is opened.
func Config(stateDir string, self peer.ID, allow []peer.ID, log *slog.Logger) trust.FleetConfig {
	return trust.FleetConfig{Dir: Dir(stateDir), Self: self, Allow: allow, Built: clock.Built(), Logger: log}
}

// Open opens the membership of a node, or returns nil when it has none.
func Open(stateDir string, allow []peer.ID, log *slog.Logger) (*trust.Fleet, error) {
	if !trust.InFleet(Dir(stateDir)) {
		return nil, nil
	}
	_, self, err := Identity(stateDir)
	if err != nil {
		return nil, err
	}
	return trust.OpenFleet(Config(stateDir, self, allow, log))
}

// OpenTickets opens the tickets that this node redeems.
func OpenTickets(stateDir string) (*ticket.Book, error) {
	return ticket.OpenBook(filepath.Join(Dir(stateDir), ticketsDir))
}

// ErrLeft ends a node whose machine has left the fleet meanwhile.
var ErrLeft = errors.New("this machine has left its fleet, and the node here has ended; join one again: swarm join")

// leftEvery is how often a running node looks whether its machine has left.
const leftEvery = 2 * time.Second

// UntilLeft returns ErrLeft when the membership is gone from the disk, or nil when
// ctx ends.
func UntilLeft(ctx context.Context, f *trust.Fleet) error {
	tick := time.NewTicker(leftEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if f.Left() {
				return ErrLeft
			}
		}
	}
}

// ID returns who the node of a state directory is.
func ID(stateDir string) (peer.ID, error) {
	_, id, err := Identity(stateDir)
	return id, err
}
