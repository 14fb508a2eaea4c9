package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/rootkey"
	"github.com/seed-b490fa12/swarm/internal/agent"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
)

// Restore says how a fleet is brought back from its sheet.
type Restore struct {
	Sheet *rootkey.Sheet
	// StateDir is that of the new controller; it must be in no fleet.
	StateDir string
	// Name of the new controller.
	Name string
	// RootKey is the file for the root key; empty means root.key in StateDir.
	RootKey string
	Seal    rootkey.Seal
	// Keep are issuers of the sheet that go on to sign.
	Keep   []peer.ID
	Logger *slog.Logger
}

// Lost are the signers that a restore ends: the controller that the sheet is from, and all issuers
// on it, but for those that are kept.
func (r *Restore) Lost(self peer.ID) (out []peer.ID) {
	for _, p := range append([]peer.ID{r.Sheet.Controller}, r.Sheet.Issuers...) {
		if p != "" && p != self && !slices.Contains(out, p) && !slices.Contains(r.Keep, p) {
			out = append(out, p)
		}
	}
	return out
}

// Takeover is a fleet that is being taken over on this machine. Close it in the end.
type Takeover struct {
	*agent.Controller
	Admin *Admin
	// Ended are the signers whose end was signed first of all.
	Ended []peer.ID

	undo func() error
}

// BeginRestore signs the end of the lost signers, before anything is read that anybody else has
// signed, and makes this machine the controller. cfg says how members are found; its StateDir and
// Logger are those of r.
func BeginRestore(r Restore, cfg agent.ControllerConfig) (*Takeover, error) {
	_, self, err := fleetdir.Identity(r.StateDir)
	if err != nil {
		return nil, err
	}
	lost := r.Lost(self)
	undo, err := r.begin(self, lost)
	if err != nil {
		return nil, err
	}
	cfg.StateDir, cfg.Logger = r.StateDir, r.Logger
	c, err := agent.Started(agent.NewCommand(cfg))
	if err != nil {
		return nil, errors.Join(err, undo())
	}
	adm, err := OpenAdmin(r.StateDir, r.Logger)
	if err == nil {
		adm.root = r.Sheet.Root
		err = adm.Revoke(lost, nil) // those that an interrupted attempt has not ended
	}
	if err != nil {
		return nil, errors.Join(err, c.Close(), undo())
	}
	return &Takeover{c, adm, lost, undo}, nil
}

// begin makes this machine the controller, or goes on where an attempt with the same sheet was
// interrupted. It returns what takes it back.
func (r *Restore) begin(self peer.ID, lost []peer.ID) (undo func() error, err error) {
	path := cmp.Or(r.RootKey, fleetdir.RootKeyPath(r.StateDir))
	there, err := rootkey.Load(path, r.Seal.Passphrase)
	switch {
	case errors.Is(err, fs.ErrNotExist) && trust.InFleet(fleetdir.Dir(r.StateDir)), err == nil && there.Fleet() != r.Sheet.Root.Fleet():
		return nil, fmt.Errorf("%w; restore to a new state directory: --state DIR", trust.ErrInFleet)
	case errors.Is(err, fs.ErrNotExist):
		if err := rootkey.Save(path, r.Sheet.Root, r.Seal); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case trust.InFleet(fleetdir.Dir(r.StateDir)):
		return func() error { return nil }, nil // it is made already
	}
	in := Init{StateDir: r.StateDir, Fleet: r.Sheet.FleetName, Name: r.Name, Logger: r.Logger}
	if err := admitSelf(in, r.Sheet.Root, self, lost); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return func() error {
		return errors.Join(trust.LeaveFleet(fleetdir.Dir(r.StateDir)), os.Remove(path))
	}, nil
}

// Undo closes the takeover and forgets it, as if it had not been begun.
func (t *Takeover) Undo() error { return errors.Join(t.Close(), t.undo()) }

// Collect asks the members at these addresses for the newest records and for all
// members that they know. It returns how many of them answered.
func (t *Takeover) Collect(ctx context.Context, from []peer.AddrInfo) (answered, members int, err error) {
	for _, info := range from {
		ctx, cancel := context.WithTimeout(ctx, collectTimeout)
		err = errors.Join(err, func() error {
			defer cancel()
			if err := t.Node.Connect(ctx, info); err != nil {
				return err
			}
			if err := t.Node.BringUpToDate(ctx, info.ID); err != nil {
				return err
			}
			n, err := t.Node.LearnMembers(ctx, info.ID)
			answered, members = answered+1, members+n
			return err
		}())
	}
	if answered > 0 {
		err = nil
	}
	return answered, members, err
}

const collectTimeout = 10 * time.Second
