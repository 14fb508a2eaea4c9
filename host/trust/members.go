package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	membersDir    = "members"
	maxKnown      = 10_000 // members whose credentials are kept
	maxOrphans    = 128    // of them those whose issuer was thrown out before they were met
	maxRefused    = 1_024  // peers of whom it is remembered why they were refused
	maxMemberFile = 2 * maxChain
)

// member is somebody whose credential was verified, now or earlier.
type member struct {
	cred  *Credential
	chain Chain
}

// Member is what is known of a peer whose credential was verified.
type Member struct {
	Peer  peer.ID
	Chain Chain
	Credential
	// Err tells why the credential does not count now; nil when it does.
	Err error
}

// Admit judges the credential that a peer presents. When it counts, the peer is
// a member from now on, until its grant ends or is revoked. Of several grants
// of one peer the one signed last counts, if its signer may replace the one before.
// The grant that counts is returned.
func (f *Fleet) Admit(p peer.ID, c Chain) (*Grant, error) {
	cred, err := f.id.Verify(c, p)
	if err != nil {
		f.refuse(p, err)
		return nil, err
	}
	void := f.void(cred)
	if void == nil {
		f.learn(cred)
	}
	m, news := f.newest(p, &member{cred, slices.Clone(c)})
	if err = f.valid(m.cred); void != nil && (err != nil || m.cred == cred) {
		err = void
	}
	if news {
		err = errors.Join(err, f.keepIf(p, m, void))
	}
	if err != nil {
		f.refuse(p, err)
		return nil, err
	}
	f.mu.Lock()
	delete(f.refused, p)
	f.mu.Unlock()
	return m.cred.Grant.clone(), nil
}

// Replace is Admit for one who has just signed the credential: it is an error when
// what was known of the peer goes on to count.
func (f *Fleet) Replace(p peer.ID, c Chain) (*Grant, error) {
	g, err := f.Admit(p, c)
	if err != nil {
		return nil, err
	}
	m, known := f.Known(p)
	if !known || m.Chain.Equal(c) {
		return g, nil
	}
	cred, err := f.id.Verify(c, p)
	if err == nil {
		err = f.succeeds(cred, &m.Credential)
	}
	if err == nil {
		err = ErrOlder // one that is newer still came meanwhile
	}
	return nil, fmt.Errorf("the new grant of %s does not count: %w; what its issuer may not sign, the root key may", m.Grant.Name, err)
}

// newest returns what counts of a peer's known and presented credential, and
// whether that is not known yet.
func (f *Fleet) newest(p peer.ID, m *member) (*member, bool) {
	f.mu.RLock()
	old, known := f.members[p]
	f.mu.RUnlock()
	if known && (old.chain.Equal(m.chain) || f.succeeds(m.cred, old.cred) != nil) {
		return old, false
	}
	return m, true
}

// keepIf remembers a credential that counts, and one that is over. One whose issuer
// was thrown out is kept while there are few such, because the owner may sign it
// anew; anybody who has the issuer's key can make more of them.
func (f *Fleet) keepIf(p peer.ID, m *member, void error) error {
	if void != nil && (!errors.Is(void, ErrRevokedIssuer) || f.orphans() >= maxOrphans) {
		return nil
	}
	return f.keep(p, m)
}

// orphans counts the members whose issuer was thrown out.
func (f *Fleet) orphans() (n int) {
	revoked := f.records.Revoked()
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, m := range f.members {
		if errors.Is(revoked.check(m.cred), ErrRevokedIssuer) {
			n++
		}
	}
	return n
}

// keep remembers a member, on the disk first.
func (f *Fleet) keep(p peer.ID, m *member) error {
	f.saving.Lock()
	defer f.saving.Unlock()
	f.mu.RLock()
	old, known := f.members[p]
	full := !known && len(f.members) >= maxKnown
	f.mu.RUnlock()
	switch {
	case full && !f.makeRoom():
		return fmt.Errorf("%w: %d members are known", ErrFull, maxKnown)
	case known && f.succeeds(m.cred, old.cred) != nil:
		return nil // another handshake was faster
	}
	if err := f.writeInto(membersDir, p.String()+".json", m.chain.JSON()); err != nil {
		return fmt.Errorf("remember a member: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members[p] = m
	return nil
}

// makeRoom forgets a member whose grant counts no more. The caller holds saving.
func (f *Fleet) makeRoom() bool {
	f.mu.RLock()
	gone := peer.ID("")
	for p, m := range f.members {
		if f.valid(m.cred) != nil {
			gone = p
			break
		}
	}
	f.mu.RUnlock()
	if gone != "" {
		f.drop(gone)
	}
	return gone != ""
}

// drop forgets a member. The caller holds saving.
func (f *Fleet) drop(p peer.ID) {
	f.mu.Lock()
	delete(f.members, p)
	f.mu.Unlock()
	if err := os.Remove(filepath.Join(f.cfg.Dir, membersDir, p.String()+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.log.Warn("a member could not be forgotten", "peer", p, "err", err)
	}
}

func (f *Fleet) writeInto(folder, name string, data []byte) error {
	if f.Left() {
		return ErrNoFleet
	}
	dir := filepath.Join(f.cfg.Dir, folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, name), data, 0o600)
}

// Forget drops what is known of a peer.
func (f *Fleet) Forget(p peer.ID) {
	f.saving.Lock()
	defer f.saving.Unlock()
	f.drop(p)
	f.Gone(p)
}

// refuse remembers why a peer is no member, for the words of later refusals.
func (f *Fleet) refuse(p peer.ID, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.refused[p]; !known && len(f.refused) >= maxRefused {
		for old := range f.refused {
			delete(f.refused, old)
			break
		}
	}
	f.refused[p] = err
}

// Gone tells that a peer has no connection any more.
func (f *Fleet) Gone(p peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.refused, p)
}

// Known returns what is known of a peer, and whether anything is.
func (f *Fleet) Known(p peer.ID) (Member, bool) {
	f.mu.RLock()
	m, ok := f.members[p]
	f.mu.RUnlock()
	if !ok {
		return Member{}, false
	}
	return Member{p, slices.Clone(m.chain), m.cred.clone(), f.valid(m.cred)}, true
}

// Members returns all that are known, also those whose grants have ended, in
// the order of their names.
func (f *Fleet) Members() []Member {
	f.mu.RLock()
	out := make([]Member, 0, len(f.members))
	for p, m := range f.members {
		out = append(out, Member{p, slices.Clone(m.chain), m.cred.clone(), nil})
	}
	f.mu.RUnlock()
	for i := range out {
		out[i].Err = f.valid(&out[i].Credential)
	}
	slices.SortFunc(out, func(a, b Member) int {
		if c := strings.Compare(a.Grant.Name, b.Grant.Name); c != 0 {
			return c
		}
		return strings.Compare(string(a.Peer), string(b.Peer))
	})
	return out
}

// Member tells whether p counts as a member now, or is allowed by the owner.
func (f *Fleet) Member(p peer.ID) bool {
	f.mu.RLock()
	m, known := f.members[p]
	_, allowed := f.allowed[p]
	f.mu.RUnlock()
	return known && f.valid(m.cred) == nil || allowed && !f.records.Revoked().Peer(p)
}

// May returns nil when p may do the verb on this node, and a [*Denied] that
// tells why not otherwise: the one place where that is decided.
func (f *Fleet) May(p peer.ID, verb string) error {
	f.mu.RLock()
	own, refused := f.own, f.refused[p]
	m, known := f.members[p]
	_, allowed := f.allowed[p]
	f.mu.RUnlock()
	err := f.records.Revoked().checkPeer(p)
	switch {
	case err != nil:
	case allowed:
		return nil
	case known:
		if err = f.valid(m.cred); err == nil {
			err = m.cred.Grant.Allows(verb, own.Grant.Labels, f.Now())
		}
		if err == nil {
			err = f.selfValid()
		}
	case refused != nil:
		err = refused
	default:
		err = fmt.Errorf("%w: the peer has shown no grant of the fleet %s", ErrStranger, f.name)
	}
	if err == nil {
		return nil
	}
	return &Denied{Peer: p, Verb: verb, Reason: f.words(p, verb, err), Err: err}
}

// words says why not, and what to do next.
func (f *Fleet) words(p peer.ID, verb string, err error) string {
	next := ""
	switch {
	case errors.Is(err, ErrOwnGrant):
		next = "; renew it from a controller that may issue grants: swarm renew"
	case errors.Is(err, ErrStranger):
		next = "; join the fleet with a ticket: swarm join"
	case errors.Is(err, ErrExpired):
		next = "; one who may issue grants renews it with: swarm renew"
	case errors.Is(err, ErrVerb), errors.Is(err, ErrSelector):
		next = "; one who may issue grants gives it with: swarm grant"
	case errors.Is(err, ErrNotYetValid):
		next = "; check the clocks of both machines"
	}
	return fmt.Sprintf("not permitted: %v%s", err, next)
}

// Revoked tells whether a peer was thrown out: itself, its grant, or the one
// who signed that.
func (f *Fleet) Revoked(p peer.ID) bool {
	revoked := f.records.Revoked()
	f.mu.RLock()
	m, known := f.members[p]
	f.mu.RUnlock()
	return revoked.Peer(p) || known && revoked.check(m.cred) != nil
}

// Reload reads what other processes of this node have learned since.
func (f *Fleet) Reload() error {
	if err := f.saveOwed(); err != nil {
		f.log.Warn("a record of the fleet is not on the disk yet", "err", err)
	}
	return f.reload()
}

func (f *Fleet) reload() error {
	m, err := readMembership(f.cfg.Dir)
	if err != nil {
		return err
	}
	before := f.records.Digests()
	f.readFolder(recordsDir, recordSuffix, maxRecordBytes, func(_ string, data []byte) error {
		taken, err := f.records.merge([][]byte{data})
		for _, rec := range taken {
			if rec.TimeFloor != 0 {
				f.told(f.floor.read()) // another process has lowered it
			}
			f.learnTime(rec)
		}
		if errors.Is(err, ErrOlder) || errors.Is(err, ErrRevokedPeer) || errors.Is(err, ErrRevokedSerial) {
			return nil // another process was slower, or the signer is not heard any more
		}
		return err
	})
	if cred, err := m.verify(f.cfg.Self); err == nil {
		f.mu.Lock()
		if f.succeeds(cred, f.own) == nil {
			f.own, f.chain = cred, m.Chain
		}
		f.mu.Unlock()
	}
	f.readFolder(membersDir, ".json", maxMemberFile, f.readMember)
	if !slices.Equal(before, f.records.Digests()) {
		f.changed()
	}
	return nil
}

func (f *Fleet) readMember(name string, data []byte) error {
	p, err := peer.Decode(name)
	if err != nil {
		return err
	}
	c, err := ParseChain(data)
	if err != nil {
		return err
	}
	f.mu.RLock()
	old, known := f.members[p]
	f.mu.RUnlock()
	if known && old.chain.Equal(c) {
		return nil
	}
	cred, err := f.id.Verify(c, p)
	if err != nil {
		return err
	}
	if err := f.void(cred); errors.Is(err, ErrNotYetValid) {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, known := f.members[p]; known && f.succeeds(cred, old.cred) == nil || !known && len(f.members) < maxKnown {
		f.members[p] = &member{cred, c}
	}
	return nil
}

// readFolder hands all files of a folder to take. A damaged one is skipped with
// a line in the log.
func (f *Fleet) readFolder(folder, suffix string, most int64, take func(name string, data []byte) error) {
	dir := filepath.Join(f.cfg.Dir, folder)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.log.Warn("a folder of the fleet cannot be read", "err", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		data, err := readBounded(filepath.Join(dir, e.Name()), most)
		if err == nil {
			err = take(name, data)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.log.Warn("skipped a damaged file of the fleet", "file", filepath.Join(folder, e.Name()), "err", err)
		}
	}
}

// MarshalJSON of a chain in a file is that of the wire.
func (c Chain) MarshalJSON() ([]byte, error) { return c.JSON(), nil }

// UnmarshalJSON is ParseChain.
func (c *Chain) UnmarshalJSON(data []byte) error {
	parsed, err := ParseChain(data)
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}
