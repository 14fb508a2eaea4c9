package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host"
	"github.com/seed-b490fa12/swarm/host/trust"
)

// Where a node keeps what it knows of its fleet, in its state directory.
const (
	fleetDir    = "fleet"
	ticketsDir  = "tickets" // in fleetDir
	rootKeyFile = "root.key"
)

// FleetDir is where a node with this state directory keeps its membership.
func FleetDir(stateDir string) string { return filepath.Join(stateDir, fleetDir) }

// RootKeyPath is where the root key is looked for when no other place is named.
func RootKeyPath(stateDir string) string { return filepath.Join(stateDir, rootKeyFile) }

// nodeIdentity loads or makes the key of a node, and returns its peer ID.
func nodeIdentity(stateDir string) (crypto.PrivKey, peer.ID, error) {
	key, err := host.LoadOrCreateIdentity(host.IdentityPath(stateDir))
	if err != nil {
		return nil, "", err
	}
	id, err := peer.IDFromPrivateKey(key)
	return key, id, err
}

func fleetConfig(stateDir string, self peer.ID, allow []peer.ID, log *slog.Logger) trust.FleetConfig {
	return trust.FleetConfig{Dir: FleetDir(stateDir), Self: self, Allow: allow, Built: builtAt(), Logger: log}
}

// openFleet opens the membership of a node, or returns nil when it has none.
func openFleet(stateDir string, allow []peer.ID, log *slog.Logger) (*trust.Fleet, error) {
	if !trust.InFleet(FleetDir(stateDir)) {
		return nil, nil
	}
	_, self, err := nodeIdentity(stateDir)
	if err != nil {
		return nil, err
	}
	return trust.OpenFleet(fleetConfig(stateDir, self, allow, log))
}

func openTickets(stateDir string) (*trust.TicketBook, error) {
	return trust.OpenTicketBook(filepath.Join(FleetDir(stateDir), ticketsDir))
}

// builtAt is when the program's source was committed, or zero when it does not say.
func builtAt() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			at, err := time.Parse(time.RFC3339, s.Value)
			if err == nil {
				return at
			}
		}
	}
	return time.Time{}
}

// Init says what kind of fleet InitFleet makes.
type Init struct {
	StateDir string // of the controller
	Fleet    string // the fleet's name
	Name     string // the controller's name in it
	// RootKey is the file for the root key; empty means root.key in StateDir.
	RootKey string
	// Seal protects the root key.
	Seal trust.Seal
	// Life is how long this controller may sign before the root has to renew it; 0 means two years.
	// It bounds for how long a stolen controller is obeyed by a machine that hears of nothing.
	Life   time.Duration
	Logger *slog.Logger
}

// issuerVerbs are the rights of the controller that made a fleet, and what it
// may give.
func issuerVerbs() []string {
	return []string{trust.AllVerbs, trust.VerbAdmit, trust.VerbGrant, trust.VerbRevoke}
}

func issuerBounds() *trust.Bounds {
	return &trust.Bounds{
		Roles: []trust.Role{trust.RoleWorker, trust.RoleRelay, trust.RoleViewer, trust.RoleController},
		Verbs: issuerVerbs(),
	}
}

// InitFleet makes a fleet, of which this controller is the first member: it may
// do everything, and let others in. A root key that is at its place already, as
// after an interrupted attempt, is used.
func InitFleet(in Init) (*Admin, error) {
	if trust.InFleet(FleetDir(in.StateDir)) {
		return nil, fmt.Errorf("%w; see: swarm status; or leave it first: swarm leave", trust.ErrInFleet)
	}
	_, self, err := nodeIdentity(in.StateDir)
	if err != nil {
		return nil, err
	}
	path := in.RootKey
	if path == "" {
		path = RootKeyPath(in.StateDir)
	}
	root, err := makeRoot(path, in.Seal)
	if err != nil {
		return nil, err
	}
	if err := admitSelf(in, root, self, nil); err != nil {
		return nil, err
	}
	adm, err := OpenAdmin(in.StateDir, in.Logger)
	if err != nil {
		return nil, err
	}
	adm.root = root
	return adm, nil
}

// admitSelf makes this controller a member with all rights, by the root's word. Before it is one, it
// knows that the lost signers have ended.
func admitSelf(in Init, root *trust.Root, self peer.ID, lost []peer.ID) error {
	s, err := root.Signer()
	if err != nil {
		return err
	}
	now := madeOrLater(time.Now())
	var ends [][]byte
	for _, p := range lost {
		end, err := s.End(p, now)
		if err != nil {
			return err
		}
		ends = append(ends, end)
	}
	bounds := issuerBounds()
	bounds.ForAll = true
	g := trust.Grant{Subject: self, Role: trust.RoleIssuer, Name: in.Name, Verbs: issuerVerbs(), MayIssue: bounds}
	if in.Life > 0 {
		g.Expires = now.Add(in.Life).UnixMilli()
	}
	chain, err := s.Issue(g, now)
	if err != nil {
		return err
	}
	_, err = trust.CreateFleet(fleetConfig(in.StateDir, self, nil, in.Logger),
		trust.Membership{Fleet: root.Fleet(), Name: in.Fleet, Chain: chain}, ends)
	return err
}

// makeRoot makes a root key, or takes the one that is there.
func makeRoot(path string, seal trust.Seal) (*trust.Root, error) {
	root, err := trust.LoadRoot(path, seal.Passphrase)
	if !errors.Is(err, errNotExist) {
		return root, err
	}
	if root, err = trust.NewRoot(); err != nil {
		return nil, err
	}
	return root, root.Save(path, seal)
}

// ErrLeft ends a node whose machine has left the fleet meanwhile.
var ErrLeft = errors.New("this machine has left its fleet")

// leftEvery is how often a running node looks whether its machine has left.
const leftEvery = 2 * time.Second

// untilLeft returns ErrLeft when the membership is gone from the disk, or nil when
// ctx ends.
func untilLeft(ctx context.Context, f *trust.Fleet) error {
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
