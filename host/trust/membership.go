package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/internal/statements"
)

var (
	// ErrNoFleet: this node is in no fleet. Join one, or make one.
	ErrNoFleet = errors.New("this node is in no fleet")
	// ErrInFleet: this node is in a fleet already. Leave it first.
	ErrInFleet = errors.New("this node is in a fleet already")
)

const (
	membershipFile    = "fleet.json"
	maxMembershipFile = 64 << 10
	maxFleetName      = 63
	leavingSuffix     = ".left"
	makingSuffix      = ".new"
)

// FleetConfig says where the membership of a node is kept, and which node it is.
type FleetConfig struct {
	// Dir is the folder of the membership, for instance STATE/fleet.
	Dir string
	// Self is this node.
	Self peer.ID
	// Allow are peers that the owner of the machine lets do everything here without a grant. A
	// revocation ends that.
	Allow []peer.ID
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
	// Built is when the program was built: no clock can be right before it.
	Built time.Time
	// Logger gets what happens; nil is silent.
	Logger *slog.Logger
}

// Membership is what a node is given when it joins a fleet.
type Membership struct {
	Fleet FleetID `json:"fleet"`
	// Name of the fleet, for people.
	Name string `json:"name"`
	// Chain is this node's own grant.
	Chain Chain `json:"chain"`
}

// CreateFleet makes the node a member and opens its fleet. The statements are those that the issuer
// knew. The error matches [ErrInFleet] when the node is a member already.
func CreateFleet(cfg FleetConfig, m Membership, statements [][]byte) (*Fleet, error) {
	own, err := m.verify(cfg.Self)
	if err != nil {
		return nil, fmt.Errorf("join the fleet: %w", err)
	}
	if InFleet(cfg.Dir) {
		return nil, ErrInFleet
	}
	var first []*Statement
	for _, data := range statements {
		st, err := m.Fleet.Open(data)
		if err != nil {
			cfg.withDefaults().Logger.Warn("a statement of the fleet was refused", "err", err)
			continue
		}
		first = append(first, st)
	}
	if err := create(cfg.Dir, m, first); err != nil {
		return nil, fmt.Errorf("join the fleet: %w", err)
	}
	return openFleet(cfg, m, own)
}

// create makes the whole folder of a membership, and then puts it in place in one step: a crash
// leaves no membership, or all of it.
func create(dir string, m Membership, first []*Statement) error {
	made := dir + makingSuffix
	if err := os.RemoveAll(made); err != nil { // of an attempt that was interrupted
		return err
	}
	if err := os.MkdirAll(made, 0o700); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := m.store(made).Create(entries(first)); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(made, membershipFile), data, 0o600); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return err
	}
	if err := os.Rename(made, dir); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// store returns the store in a folder. Its statements begin with the fleet that they are of.
func (m Membership) store(dir string) *statements.Store {
	return statements.New(dir, string(m.Fleet)+" "+m.Name, MaxStatement)
}

// InFleet reports whether a folder holds a membership, or what is left of one.
func InFleet(dir string) bool {
	for _, name := range []string{membershipFile, statements.StatementsFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// OpenFleet opens the membership in cfg.Dir. The error matches [ErrNoFleet] when there is none, and
// [ErrDamaged] when too little is left of it.
func OpenFleet(cfg FleetConfig) (*Fleet, error) {
	if !InFleet(cfg.Dir) {
		return nil, ErrNoFleet
	}
	if err := durable.CheckDir(cfg.Dir); err != nil {
		return nil, fmt.Errorf("membership: %w", err)
	}
	m, own, err := readMembership(cfg.withDefaults())
	if err != nil {
		return nil, err
	}
	return openFleet(cfg, m, own)
}

func (cfg FleetConfig) withDefaults() FleetConfig {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// openFleet opens a membership, and what was verified of this node's own grant; nil for nothing.
func openFleet(cfg FleetConfig, m Membership, own *Credential) (*Fleet, error) {
	cfg = cfg.withDefaults()
	root, err := m.Fleet.signer()
	if err != nil {
		return nil, err
	}
	fl, err := statements.OpenFloor(cfg.Dir, cfg.Clock, cfg.Built)
	if err != nil {
		cfg.Logger.Warn("the time floor was damaged, and is computed again", "err", err)
	}
	mem := &memory{
		cfg: cfg, log: cfg.Logger, id: m.Fleet, root: root, name: m.Name, floor: fl, store: m.store(cfg.Dir),
		set: newSet(root, cfg.Self), missing: map[ID]struct{}{}, declined: map[ID]struct{}{}, hooks: map[int]func(){},
	}
	if own != nil {
		mem.shown = m.Chain
	}
	if err := mem.open(own); err != nil {
		return nil, err
	}
	return newFleet(mem)
}

// verify checks a membership, and returns this node's own grant.
func (m Membership) verify(self peer.ID) (*Credential, error) {
	if err := m.named(); err != nil {
		return nil, err
	}
	return m.Fleet.Verify(m.Chain, self)
}

// readMembership reads fleet.json. What it says is also known from the statements, so that a
// damaged one is healed.
func readMembership(cfg FleetConfig) (m Membership, own *Credential, err error) {
	path := filepath.Join(cfg.Dir, membershipFile)
	data, err := durable.ReadFile(path, maxMembershipFile)
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err == nil {
		own, err = m.verify(cfg.Self)
	}
	if err == nil {
		return m, own, nil
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, durable.ErrUnsafe) {
		return m, nil, fmt.Errorf("membership in %s: %w", cfg.Dir, err)
	}
	owner := m.store(cfg.Dir).Owner()
	fleet, name, _ := strings.Cut(owner, " ")
	told := m
	m = Membership{Fleet: FleetID(fleet), Name: name}
	switch {
	case owner != "" && m.named() == nil:
	case told.named() == nil:
		return told, nil, nil // its own grant is damaged, and the statements are gone
	default:
		return m, nil, &Blocked{Err: fmt.Errorf("%w: membership in %s: %w", ErrDamaged, cfg.Dir, err), Need: NeedRejoin}
	}
	cfg.Logger.Warn("fleet.json was damaged, and is written anew", "dir", cfg.Dir, "err", err)
	return m, nil, nil
}

func (m Membership) named() error {
	if err := ValidateFleetName(m.Name); err != nil {
		return err
	}
	_, err := ParseFleetID(string(m.Fleet))
	return err
}

// ValidateFleetName returns why a word cannot name a fleet. The error matches [ErrInvalid].
func ValidateFleetName(name string) error {
	if name == "" || len(name) > maxFleetName || !plain(name) {
		return fmt.Errorf("%w: %q is no name for a fleet", ErrInvalid, shorten(name))
	}
	return nil
}

// LeaveFleet forgets the membership in a folder, also a damaged one.
func LeaveFleet(dir string) error {
	if !InFleet(dir) {
		return ErrNoFleet
	}
	gone := dir + leavingSuffix
	if err := os.RemoveAll(gone); err != nil { // of a leave that was interrupted
		return fmt.Errorf("leave the fleet: %w", err)
	}
	// At once: whatever is interrupted, the node is out.
	if err := os.Rename(dir, gone); err != nil {
		return fmt.Errorf("leave the fleet: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("leave the fleet: %w", err)
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("leave the fleet: %w", err)
	}
	return durable.SyncDir(filepath.Dir(dir))
}
