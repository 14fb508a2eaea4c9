package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/host/trust"
	"github.com/seed-b490fa12/swarm/host/trust/rootkey"
	"github.com/seed-b490fa12/swarm/internal/clock"
	"github.com/seed-b490fa12/swarm/internal/fleetdir"
)

// Init says what kind of fleet InitFleet makes.
type Init struct {
	StateDir string // of the controller
	Fleet    string // the fleet's name
	Name     string // the controller's name in it
	// RootKey is the file for the root key; empty means root.key in StateDir.
	RootKey string
	// Seal protects the root key.
	Seal rootkey.Seal
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
	if trust.InFleet(fleetdir.Dir(in.StateDir)) {
		return nil, fmt.Errorf("%w; see: swarm status; or leave it first: swarm leave", trust.ErrInFleet)
	}
	_, self, err := fleetdir.Identity(in.StateDir)
	if err != nil {
		return nil, err
	}
	path := in.RootKey
	if path == "" {
		path = fleetdir.RootKeyPath(in.StateDir)
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

// admitSelf makes this controller a member with all rights, by the root's word. Before it is one,
// it knows that the lost signers have ended.
func admitSelf(in Init, root *trust.Root, self peer.ID, lost []peer.ID) error {
	s, err := root.Signer()
	if err != nil {
		return err
	}
	now := clock.MadeOrLater(time.Now())
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
	_, err = trust.CreateFleet(fleetdir.Config(in.StateDir, self, nil, in.Logger),
		trust.Membership{Fleet: root.Fleet(), Name: in.Fleet, Chain: chain}, ends)
	return err
}

// makeRoot makes a root key, or takes the one that is there.
func makeRoot(path string, seal rootkey.Seal) (*trust.Root, error) {
	root, err := rootkey.Load(path, seal.Passphrase)
	if !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	if root, err = trust.NewRoot(); err != nil {
		return nil, err
	}
	return root, rootkey.Save(path, root, seal)
}

// HostName is the name of this machine in the letters that names of a fleet may have.
func HostName() string {
	name, _ := os.Hostname()
	name = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, name)
	if name == "" {
		return "controller"
	}
	return name[:min(len(name), 63)]
}
