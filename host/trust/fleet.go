package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/durable"
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

// FleetConfig says where the membership of a node is kept, and whose it is.
type FleetConfig struct {
	// Dir is the folder of the membership, for instance STATE/fleet.
	Dir string
	// Self is this node.
	Self peer.ID
	// Allow are peers that may do everything here without a grant: the owner of
	// the machine says so. Revocation beats it.
	Allow []peer.ID
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
	// Built is when the program was built: no clock can be right before it.
	Built time.Time
	// Logger gets what happens; nil is silent.
	Logger *slog.Logger
}

// Membership is what makes a node a member: what it is given when it joins.
type Membership struct {
	Fleet FleetID `json:"fleet"`
	// Name of the fleet, for people.
	Name string `json:"name"`
	// Chain is this node's own grant.
	Chain Chain `json:"chain"`
}

// Fleet is one node's view of its fleet: the signed statements that it has heard, kept in a
// directory, and the time floor. It is the [Judge] of a node in a fleet. Several processes may
// use one directory. It is used concurrently.
type Fleet struct {
	cfg   FleetConfig
	log   *slog.Logger
	id    FleetID
	root  peer.ID
	name  string
	store *store
	floor *floor

	// saving is held while statements go to the disk. It is taken before mu, so that May never
	// waits for the disk.
	saving sync.Mutex

	mu      sync.RWMutex // guards what follows
	set     *set
	missing map[ID]struct{} // what the index names and the set lacks
	unsaved []*Statement    // what is not on the disk yet
	shown   Chain           // what fleet.json holds
	// declined are statements for which there was no room: they are not asked for again.
	declined map[ID]struct{}
	refused  map[peer.ID]error // why the last credential of a peer did not count
	allowed  map[peer.ID]struct{}
	digest   *digest // of the common statements; nil when it has to be computed again
	hooks    map[int]func()
	hook     int
}

var _ Judge = (*Fleet)(nil)

// CreateFleet makes the node a member and opens its fleet. The error matches [ErrInFleet] when
// it is one already. Statements are those that the giver knows.
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
	f, err := openFleet(cfg, m, own)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// create makes the folder of a membership whole, and then puts it in place in one step: a crash
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
	s := &store{dir: made, header: m.header()}
	if err := s.create(first); err != nil {
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

// header is the first line of the statements: it says which fleet they are of.
func (m Membership) header() string { return statementsHeader + string(m.Fleet) + " " + m.Name }

// InFleet reports whether the folder holds a membership, or what is left of one.
func InFleet(dir string) bool {
	for _, name := range []string{membershipFile, statementsFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// OpenFleet opens the membership that the folder holds, or fails with [ErrNoFleet].
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
	fl, err := openFloor(cfg.Dir, cfg.Clock, cfg.Built)
	if err != nil {
		cfg.Logger.Warn("the time floor was damaged, and is computed again", "err", err)
	}
	f := &Fleet{
		cfg: cfg, log: cfg.Logger, id: m.Fleet, root: root, name: m.Name, floor: fl,
		store: &store{dir: cfg.Dir, header: m.header()}, set: newSet(root, cfg.Self),
		missing: map[ID]struct{}{}, refused: map[peer.ID]error{}, declined: map[ID]struct{}{},
		allowed: map[peer.ID]struct{}{}, hooks: map[int]func(){},
	}
	for _, p := range cfg.Allow {
		f.allowed[p] = struct{}{}
	}
	if own != nil {
		f.shown = m.Chain
	}
	return f, f.open(own)
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
	data, err := readBounded(path, maxMembershipFile)
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
	line := (&store{dir: cfg.Dir}).headerOf()
	fleet, name, _ := strings.Cut(strings.TrimPrefix(line, statementsHeader), " ")
	told := m
	m = Membership{Fleet: FleetID(fleet), Name: name}
	switch {
	case line != "" && m.named() == nil:
	case told.named() == nil:
		return told, nil, nil // its own grant is damaged, and the statements are gone
	default:
		return m, nil, &Blocked{Err: fmt.Errorf("%w: membership in %s: %w", ErrDamaged, cfg.Dir, err), Need: NeedRejoin}
	}
	cfg.Logger.Warn("fleet.json was damaged, and is written anew", "dir", cfg.Dir, "err", err)
	return m, nil, nil
}

func (m Membership) named() error {
	if m.Name == "" || len(m.Name) > maxFleetName || !plain(m.Name) {
		return fmt.Errorf("%w: %q is no name for a fleet", ErrInvalid, shorten(m.Name))
	}
	_, err := ParseFleetID(string(m.Fleet))
	return err
}

// ID returns the ID of the fleet.
func (f *Fleet) ID() FleetID { return f.id }

// Name returns the fleet's name.
func (f *Fleet) Name() string { return f.name }

// Root returns the peer ID of the fleet's root key.
func (f *Fleet) Root() peer.ID { return f.root }

// Now returns the time that grants are judged and signed by: our clock, unless
// it is known to be behind.
func (f *Fleet) Now() time.Time {
	now, _ := f.floor.now()
	return now
}

// ClockSane reports whether our clock can be right at all.
func (f *Fleet) ClockSane() bool {
	_, sane := f.floor.now()
	return sane
}

// Self returns this node's own credential: the one that counts, or the nearest to it.
func (f *Fleet) Self() Credential {
	c, _ := f.self()
	return c.clone()
}

// SelfErr returns why this node's own grant does not count, or nil. The error matches
// [ErrOwnGrant].
func (f *Fleet) SelfErr() error {
	if _, err := f.self(); err != nil {
		return fmt.Errorf("%w: %w", ErrOwnGrant, err)
	}
	return nil
}

func (f *Fleet) self() (*Credential, error) {
	now := f.Now()
	f.mu.RLock()
	defer f.mu.RUnlock()
	c, err := f.set.member(f.cfg.Self, now)
	if c == nil {
		return &Credential{Grant: &Grant{Fleet: f.id, Subject: f.cfg.Self, Name: "this-machine"}}, err
	}
	return c, err
}

func (c *Credential) clone() Credential {
	return Credential{c.Grant.clone(), c.Issuer.clone(), c.Unconfirmed, c.st, c.by, c.sponsor}
}

// Chain returns what this node shows to others.
func (f *Fleet) Chain() Chain {
	c, _ := f.self()
	if c.st == nil {
		f.mu.RLock()
		defer f.mu.RUnlock()
		return slices.Clone(f.shown)
	}
	return c.chain()
}

// MinProtocol returns the lowest version that the root allows; empty for any.
func (f *Fleet) MinProtocol() string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.set.minProtocol()
}

// Issuers returns all whom the root ever let sign for others: those for all with those that it
// has ended, and the delegates, which are not for all and go on to sign.
func (f *Fleet) Issuers() (all, delegates []peer.ID) {
	now := f.Now()
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, p := range slices.Sorted(maps.Keys(f.set.issuers)) {
		if i, err := f.set.issuer(p, now); err == nil && !i.Grant.MayIssue.ForAll {
			delegates = append(delegates, p)
		} else {
			all = append(all, p)
		}
	}
	return all, delegates
}

// Notify has fn called after each change of what is revoked, of who signs, or of this node's own
// grant. It must return quickly.
func (f *Fleet) Notify(fn func()) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.hook
	f.hook++
	f.hooks[id] = fn
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.hooks, id)
	}
}

func (f *Fleet) changed() {
	f.mu.RLock()
	hooks := slices.Collect(maps.Values(f.hooks))
	f.mu.RUnlock()
	for _, fn := range hooks {
		fn()
	}
}

// Signer returns what signs as this member, which needs the right to issue.
func (f *Fleet) Signer(key crypto.PrivKey) (*Signer, error) {
	if err := f.whole(); err != nil {
		return nil, err
	}
	c, err := f.self()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOwnGrant, err)
	}
	if c.Grant.MayIssue == nil {
		return nil, fmt.Errorf("%w: %s may not issue anything", ErrIssuer, c.Grant.Name)
	}
	return NewIssuer(f.id, key, c.chain())
}

// LeaveFleet forgets the fleet of a folder. It works for a damaged one, too.
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

// Left reports whether the membership is gone from the disk: another process of this machine has
// left the fleet.
func (f *Fleet) Left() bool { return !InFleet(f.cfg.Dir) }
