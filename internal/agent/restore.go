package agent

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// Restore says how a fleet is brought back from its sheet.
type Restore struct {
	Sheet *trust.Sheet
	// StateDir is that of the new controller; it must be in no fleet.
	StateDir string
	// Name of the new controller.
	Name string
	// RootKey is the file for the root key; empty means root.key in StateDir.
	RootKey string
	Seal    trust.Seal
	// KeepOld leaves the lost controllers in.
	KeepOld bool
	Logger  *slog.Logger
}

// BeginRestore makes this machine a controller by the root's word, and starts it.
// Nothing is revoked yet: first Collect what the members know, so that what the root
// signs next goes beyond it. cfg says how members are found; its StateDir and Logger are
// those of r.
func BeginRestore(r Restore, cfg ControllerConfig) (*Controller, *Admin, error) {
	if trust.InFleet(FleetDir(r.StateDir)) {
		return nil, nil, fmt.Errorf("%w; restore to a new state directory: --state DIR", trust.ErrInFleet)
	}
	_, self, err := nodeIdentity(r.StateDir)
	if err != nil {
		return nil, nil, err
	}
	path := r.RootKey
	if path == "" {
		path = RootKeyPath(r.StateDir)
	}
	if err := r.Sheet.Root.Save(path, r.Seal); err != nil {
		return nil, nil, err
	}
	in := Init{StateDir: r.StateDir, Fleet: r.Sheet.FleetName, Name: r.Name, Logger: r.Logger}
	if err := admitSelf(in, r.Sheet.Root, self); err != nil {
		return nil, nil, err
	}
	cfg.StateDir, cfg.Logger = r.StateDir, r.Logger
	c, err := NewController(cfg)
	if err != nil {
		return nil, nil, err
	}
	adm, err := OpenAdmin(r.StateDir, r.Logger)
	return c, adm, err
}

// Restored says what FinishRestore did.
type Restored struct {
	Reissued int
	Revoked  []peer.ID
}

// FinishRestore signs anew what the lost controllers had signed, and throws them
// out. Deliver takes it to the members.
func FinishRestore(r Restore, c *Controller, adm *Admin) (out Restored, err error) {
	if err := adm.Fleet.Reload(); err != nil {
		return out, err
	}
	adm.root = r.Sheet.Root
	self := c.Node.ID()
	if !r.KeepOld {
		out.Revoked = lostControllers(r.Sheet.Controller, self, adm.Fleet)
	}
	for _, m := range adm.Fleet.Members() {
		byLost := m.Issuer != nil && slices.Contains(out.Revoked, m.Issuer.Subject)
		if !byLost || slices.Contains(out.Revoked, m.Peer) || adm.Fleet.Revoked(m.Peer) {
			continue
		}
		// Signed by the new controller, so that everyday renewal goes on from there.
		adm.root = nil
		_, err := adm.Renew(m)
		adm.root = r.Sheet.Root
		if err != nil {
			return out, fmt.Errorf("sign anew for %s: %w", m.Grant.Name, err)
		}
		out.Reissued++
	}
	return out, adm.Revoke(trust.Change{RevokePeers: out.Revoked, Issuers: []peer.ID{self}, TakeOver: true})
}

// lostControllers are the one of the sheet, and all whom the root had let sign for
// others on other machines than this.
func lostControllers(sheet, self peer.ID, f *trust.Fleet) (out []peer.ID) {
	for _, p := range append([]peer.ID{sheet}, f.Records().Issuers()...) {
		if p != "" && p != self && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// NodeID returns who the node of a state directory is.
func NodeID(stateDir string) (peer.ID, error) {
	_, id, err := nodeIdentity(stateDir)
	return id, err
}
