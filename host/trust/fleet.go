package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	// Chain is this node's own credential.
	Chain Chain `json:"chain"`
}

// Fleet is one node's view of its fleet, kept in a directory: its own
// credential, those of the members it met, what is revoked, and the time floor.
// It is the [Judge] of a node in a fleet. Several processes may use one
// directory. It is used concurrently.
type Fleet struct {
	cfg     FleetConfig
	log     *slog.Logger
	id      FleetID
	name    string
	records *Records
	floor   *floor

	// saving is held while grants go to the disk, in the order in which they come to
	// count. It is taken before mu, so that May never waits for the disk.
	saving sync.Mutex

	mu      sync.RWMutex // guards what follows
	own     *Credential
	chain   Chain
	members map[peer.ID]*member
	unsaved map[peer.ID]*signedRecord // the newest record of a signer while it is not on the disk
	refused map[peer.ID]error         // why the last credential of a peer did not count
	allowed map[peer.ID]struct{}
	hooks   map[int]func()
	hook    int
}

var _ Judge = (*Fleet)(nil)

// CreateFleet makes the node a member and opens its fleet. The error matches
// [ErrInFleet] when it is one already. Records are those the giver knows.
func CreateFleet(cfg FleetConfig, m Membership, records [][]byte) (*Fleet, error) {
	if _, err := m.verify(cfg.Self); err != nil {
		return nil, fmt.Errorf("join the fleet: %w", err)
	}
	if InFleet(cfg.Dir) {
		return nil, ErrInFleet
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("join the fleet: %w", err)
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("join the fleet: %w", err)
	}
	if err := durable.CreateFile(filepath.Join(cfg.Dir, membershipFile), data, 0o600); err != nil {
		return nil, fmt.Errorf("join the fleet: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(cfg.Dir)); err != nil {
		return nil, err
	}
	f, err := OpenFleet(cfg)
	if err != nil {
		return nil, err
	}
	if _, err := f.Merge(records...); err != nil {
		f.log.Warn("a record of the fleet was refused", "err", err)
	}
	return f, nil
}

// InFleet tells whether the folder holds a membership.
func InFleet(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, membershipFile))
	return err == nil
}

// OpenFleet opens the membership that the folder holds, or fails with
// [ErrNoFleet].
func OpenFleet(cfg FleetConfig) (*Fleet, error) {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := readMembership(cfg.Dir)
	if err != nil {
		return nil, err
	}
	own, err := m.verify(cfg.Self)
	if err != nil {
		return nil, fmt.Errorf("membership in %s: %w", cfg.Dir, err)
	}
	fl, err := openFloor(cfg.Dir, cfg.Clock, cfg.Built)
	if err != nil {
		return nil, err
	}
	f := &Fleet{
		cfg: cfg, log: cfg.Logger, id: m.Fleet, name: m.Name, records: NewRecords(m.Fleet), floor: fl,
		own: own, chain: m.Chain, members: map[peer.ID]*member{}, refused: map[peer.ID]error{},
		unsaved: map[peer.ID]*signedRecord{},
		allowed: map[peer.ID]struct{}{}, hooks: map[int]func(){},
	}
	for _, p := range cfg.Allow {
		f.allowed[p] = struct{}{}
	}
	f.learn(own)
	return f, f.reload()
}

func (m Membership) verify(self peer.ID) (*Credential, error) {
	if m.Name == "" || len(m.Name) > maxFleetName || !plain(m.Name) {
		return nil, fmt.Errorf("%w: %q is no name for a fleet", ErrInvalid, shorten(m.Name))
	}
	return m.Fleet.Verify(m.Chain, self)
}

func readMembership(dir string) (m Membership, err error) {
	data, err := readBounded(filepath.Join(dir, membershipFile), maxMembershipFile)
	if errors.Is(err, fs.ErrNotExist) {
		return m, ErrNoFleet
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return m, fmt.Errorf("membership in %s: %w", dir, err)
	}
	return m, nil
}

func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%w: %s has more than %d bytes", ErrInvalid, path, most)
	}
	return data, err
}

// ID returns the ID of the fleet.
func (f *Fleet) ID() FleetID { return f.id }

// Name returns the fleet's name.
func (f *Fleet) Name() string { return f.name }

// Self returns this node's own credential.
func (f *Fleet) Self() Credential {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.own.clone()
}

// Chain returns what this node shows to others.
func (f *Fleet) Chain() Chain {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.Clone(f.chain)
}

// Records returns what the signers of the fleet have said.
func (f *Fleet) Records() *Records { return f.records }

// Now returns the time that grants are judged and signed by: our clock, unless
// it is known to be behind.
func (f *Fleet) Now() time.Time {
	now, _ := f.floor.now()
	return now
}

// ClockSane tells whether our clock can be right at all.
func (f *Fleet) ClockSane() bool {
	_, sane := f.floor.now()
	return sane
}

// Signer returns what signs as this member, which needs the right to issue.
func (f *Fleet) Signer(key crypto.PrivKey) (*Signer, error) {
	if err := f.selfValid(); err != nil {
		return nil, err
	}
	return NewIssuer(f.id, key, f.Chain())
}

// Notify has fn called after each change of what is revoked, or of this node's
// own grant. It must return quickly.
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

// Renewed takes a newer grant of this node itself. It tells whether the grant
// was new here; one that is no better, or whose signer may not replace the one
// that is there, is refused.
func (f *Fleet) Renewed(c Chain) (bool, error) {
	cred, err := f.id.Verify(c, f.cfg.Self)
	if err == nil {
		err = f.void(cred)
	}
	if err != nil {
		return false, err
	}
	f.learn(cred)
	if err := f.valid(cred); err != nil {
		return false, err
	}
	if done, err := f.replaceOwn(c, cred); !done {
		return false, err
	}
	f.changed()
	return true, nil
}

func (f *Fleet) replaceOwn(c Chain, cred *Credential) (bool, error) {
	f.saving.Lock()
	defer f.saving.Unlock()
	f.mu.RLock()
	have := f.own
	f.mu.RUnlock()
	if have.Grant.Serial == cred.Grant.Serial {
		return false, nil
	}
	if err := f.succeeds(cred, have); err != nil {
		return false, err
	}
	data, err := json.Marshal(Membership{f.id, f.name, c})
	if err != nil {
		return false, err
	}
	if f.Left() {
		return false, ErrNoFleet // left meanwhile
	}
	if err := durable.WriteFile(filepath.Join(f.cfg.Dir, membershipFile), data, 0o600); err != nil {
		return false, fmt.Errorf("keep the new grant: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own, f.chain = cred, slices.Clone(c)
	return true, nil
}

// Leave forgets the fleet: everything in the folder.
func (f *Fleet) Leave() error { return LeaveFleet(f.cfg.Dir) }

// LeaveFleet forgets the fleet of a folder. It works for a damaged one, too.
func LeaveFleet(dir string) error {
	if !InFleet(dir) {
		return ErrNoFleet
	}
	// The membership goes first: whatever is interrupted, the node is out.
	if err := os.Remove(filepath.Join(dir, membershipFile)); err != nil {
		return fmt.Errorf("leave the fleet: %w", err)
	}
	if err := durable.SyncDir(dir); err != nil {
		return fmt.Errorf("leave the fleet: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("leave the fleet: %w", err)
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// Left tells whether the membership is gone from the disk: another process of
// this machine has left the fleet.
func (f *Fleet) Left() bool { return !InFleet(f.cfg.Dir) }

// learn moves the time floor by what a verified credential proves.
func (f *Fleet) learn(c *Credential) {
	at := c.Grant.Issued
	if c.Issuer != nil {
		at = max(at, c.Issuer.Issued)
	}
	f.told(f.floor.raise(at))
}

// valid judges a verified credential now. A clock that cannot be right proves
// nothing about a beginning, only that an end is over.
func (f *Fleet) valid(c *Credential) error {
	now, sane := f.floor.now()
	if begin := time.UnixMilli(c.Grant.NotBefore); !sane && now.Before(begin) {
		now = begin
	}
	return c.ValidAt(now, f.records.Revoked())
}

func (f *Fleet) selfValid() error {
	f.mu.RLock()
	own := f.own
	f.mu.RUnlock()
	if err := f.valid(own); err != nil {
		return fmt.Errorf("%w: %w", ErrOwnGrant, err)
	}
	return nil
}

func (c *Credential) clone() Credential {
	return Credential{c.Grant.clone(), c.Issuer.clone()}
}

// Equal tells whether both are the same signed bytes.
func (c Chain) Equal(o Chain) bool { return slices.EqualFunc(c, o, bytes.Equal) }
