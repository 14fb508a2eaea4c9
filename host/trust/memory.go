package trust

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"

	"github.com/seed-b490fa12/swarm/host/trust/store"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

// memory is what one node knows of its fleet: the signed statements that it has heard, also in a
// directory that several processes use, and the time floor. It is used concurrently.
type memory struct {
	cfg   FleetConfig
	log   *slog.Logger
	id    FleetID
	root  peer.ID
	name  string
	store *store.Store
	floor *store.Floor

	// saving is held while statements go to the disk. It is taken before mu, so that May never
	// waits for the disk.
	saving sync.Mutex

	mu      sync.RWMutex // guards what follows
	set     *set
	missing map[ID]struct{} // what the index names and the set lacks
	unsaved []*Statement    // what is not on the disk yet
	shown   Chain           // what fleet.json holds
	changes int             // of what all nodes should have, and of this node's own grant
	// declined are statements for which there was no room: they are not asked for again.
	declined map[ID]struct{}
	hooks    map[int]func()
	hook     int
}

// now returns the time that grants are judged and signed by: the machine's clock, unless that is
// known to be behind.
func (m *memory) now() time.Time {
	now, _ := m.floor.Now()
	return now
}

// read returns what is judged by now. Nothing changes until done is called.
func (m *memory) read() (s verdict, done func()) {
	now := m.now() // which may go to the disk
	m.mu.RLock()
	return m.set.at(now), m.mu.RUnlock
}

// credential returns what a peer holds now: see verdict.member.
func (m *memory) credential(p peer.ID) (*Credential, error) {
	s, done := m.read()
	defer done()
	return s.member(p)
}

// showed notes a member that has shown its grant itself.
func (m *memory) showed(p peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.set.seen) >= maxSubjects {
		clear(m.set.seen)
	}
	m.set.seen[p] = struct{}{}
}

// notify has fn called after each change: see [Fleet.Notify].
func (m *memory) notify(fn func()) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.hook
	m.hook++
	m.hooks[id] = fn
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.hooks, id)
	}
}

func (m *memory) changed() {
	m.mu.RLock()
	hooks := slices.Collect(maps.Values(m.hooks))
	m.mu.RUnlock()
	for _, fn := range hooks {
		fn()
	}
}

// left reports whether the membership is gone from the disk: another process of this machine has
// left the fleet.
func (m *memory) left() bool { return !InFleet(m.cfg.Dir) }

// learn takes statements that are not known yet, from whomever: they prove themselves. It reports
// whether anything changed that others should hear of. Bad ones do not keep out the others.
//
// What cannot be written counts all the same, until this process ends; the error then matches
// [ErrNotSaved], and each further learn or update tries again.
func (m *memory) learn(statements ...[]byte) (bool, error) {
	var errs []error
	var parsed []*Statement
	for _, data := range statements {
		if m.heard(data) {
			continue
		}
		st, err := m.id.Open(data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		parsed = append(parsed, st)
	}
	news, err := m.take(parsed, true)
	return news, errors.Join(errors.Join(errs...), err, m.saveOwed())
}

// heard reports whether a statement is known already: the same bytes, so nothing has to be
// verified.
func (m *memory) heard(data []byte) bool {
	if len(data) > MaxStatement {
		return false
	}
	env, err := record.UnmarshalEnvelope(data)
	if err != nil {
		return false
	}
	for _, k := range []kind{grantKind(), revocationKind(), liftKind(), policyKind()} {
		if string(env.PayloadType) == k.codec {
			m.mu.RLock()
			_, known := m.set.all[k.id(env.RawPayload)]
			m.mu.RUnlock()
			return known
		}
	}
	return false
}

// take adds statements to the set, and acts on what they change. Owed are those that are not on the
// disk yet.
func (m *memory) take(statements []*Statement, owed bool) (news bool, err error) {
	var errs []error
	var roots []int64
	now := m.now()
	own := m.ownID()
	// Which grants of a signer are kept depends on its own, and which revocations on what was lifted:
	// these come first.
	slices.SortStableFunc(statements, func(a, b *Statement) int {
		return cmp.Compare(rank(b.issuer() || b.Lift != nil), rank(a.issuer() || a.Lift != nil))
	})
	m.mu.Lock()
	for _, st := range statements {
		_, missed := m.missing[st.ID]
		added, err := m.set.add(st, now, !owed || missed)
		if err != nil {
			errs = append(errs, err)
		}
		if !added {
			m.decline(st.ID)
			continue
		}
		if owed {
			m.unsaved = append(m.unsaved, st)
		}
		if st.Signer == m.root {
			roots = append(roots, st.issued())
		}
		delete(m.missing, st.ID)
		news = news || st.common()
	}
	if news {
		m.changes++
		clear(m.declined) // there may be room by now
		for id := range m.set.waived {
			delete(m.missing, id)
		}
	}
	m.mu.Unlock()
	for _, at := range roots {
		m.floor.Learn(at)
	}
	if err := m.floor.Fault(); err != nil && len(roots) > 0 {
		m.log.Warn("the time floor could not be kept", "err", err)
	}
	if own != m.ownID() {
		news = true
	}
	if news {
		m.changed()
	}
	return news, errors.Join(errs...)
}

// maxDeclined is of how many statements it is remembered that there was no room for them.
const maxDeclined = 20_000

// decline notes a statement that is not asked for again. The caller holds mu.
func (m *memory) decline(id ID) {
	if _, have := m.set.all[id]; have {
		return
	}
	if len(m.declined) >= maxDeclined {
		clear(m.declined)
	}
	m.declined[id] = struct{}{}
}

// ownID names this node's own grant, as far as it counts.
func (m *memory) ownID() (id ID) {
	if c, err := m.credential(m.cfg.Self); err == nil {
		id = c.st.ID
	}
	return id
}

// saveOwed writes what has to be written, if anything.
func (m *memory) saveOwed() error {
	m.mu.RLock()
	owed, stale := len(m.unsaved) > 0, !m.showsOwn()
	m.mu.RUnlock()
	if !owed && !stale {
		return nil
	}
	m.saving.Lock()
	defer m.saving.Unlock()
	unlock, err := m.store.Lock()
	if err != nil {
		if m.left() {
			return ErrNoFleet
		}
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	if err = m.reload(); err == nil { // what others have written since is not passed over
		err = m.save()
	}
	return errors.Join(err, unlock())
}

// save writes the statements that have to be written, and what this node shows of itself. The
// caller holds saving and has the lock.
func (m *memory) save() error {
	m.mu.Lock()
	// What had to make room for something else meanwhile is not worth the disk.
	m.unsaved = slices.DeleteFunc(m.unsaved, func(st *Statement) bool { return m.set.all[st.ID] != st })
	owed := slices.Clone(m.unsaved)
	m.mu.Unlock()
	switch {
	case len(owed) == 0:
	case m.crowded(), m.store.Lost():
		if err := m.rewrite(); err != nil {
			return fmt.Errorf("%w: %w", ErrNotSaved, err)
		}
	default:
		if err := m.store.Add(entries(owed)); err != nil {
			return fmt.Errorf("%w: %w", ErrNotSaved, err)
		}
		m.mu.Lock()
		m.unsaved = slices.DeleteFunc(m.unsaved, func(st *Statement) bool { return slices.Contains(owed, st) })
		m.mu.Unlock()
	}
	return m.saveShown()
}

// showsOwn reports whether fleet.json holds what this node shows of itself. The caller holds mu.
func (m *memory) showsOwn() bool {
	c, err := m.set.at(m.now()).member(m.cfg.Self)
	if err != nil {
		return c == nil || len(m.shown) > 0 // what was good once is kept
	}
	return m.shown.Equal(c.chain())
}

// saveShown writes fleet.json where this node's own grant has changed, or the file was damaged.
func (m *memory) saveShown() error {
	m.mu.RLock()
	same := m.showsOwn()
	m.mu.RUnlock()
	c, _ := m.credential(m.cfg.Self)
	if same || c == nil {
		return nil
	}
	chain := c.chain()
	if _, err := m.id.Verify(chain, m.cfg.Self); err != nil {
		return nil // it ended, and not even its form can be shown
	}
	data, err := json.Marshal(Membership{m.id, m.name, chain})
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(m.cfg.Dir, membershipFile), data, 0o600); err != nil {
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shown = chain
	return nil
}

// open reads the files of the membership. What is damaged is healed where it can be computed
// again; what is missing is kept in mind.
func (m *memory) open(own *Credential) error {
	indexDamaged, err := m.store.ReadIndex()
	if err != nil {
		return fmt.Errorf("membership in %s: %w", m.cfg.Dir, err)
	}
	c, err := m.store.Read()
	if err != nil {
		return fmt.Errorf("membership in %s: %w", m.cfg.Dir, err)
	}
	damaged := m.takeRead(c) || c.Damaged
	short := m.unnamed()
	if own != nil {
		if _, err := m.take(own.statements(), true); err != nil {
			return err
		}
	}
	for _, id := range c.Missing { // the index was cut, too: it must name them before the other file is lost
		short = short || !m.store.Names(id)
	}
	m.store.Expect(c.Missing...)
	if damaged && indexDamaged {
		// Neither file can say what the other has lost.
		var unknown ID
		rand.Read(unknown[:]) // never fails
		m.store.Expect(unknown)
	}
	m.compare()
	if err := m.whole(); err != nil {
		m.log.Error("the statements of the fleet are damaged: no command is taken until they are whole again", "err", err)
	}
	if damaged || indexDamaged || short || m.untold(c.Missing) || m.crowded() {
		m.heal(damaged, indexDamaged)
	}
	if err := m.saveOwed(); err != nil {
		m.log.Warn("the membership could not be written", "err", err)
	}
	return nil
}

// unnamed reports whether the index lacks a statement that the node has: it was cut, or the machine
// stopped between writing the two. It is written anew before the other file is lost, too.
func (m *memory) unnamed() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for id, st := range m.set.all {
		if st.kept() && !m.store.Names(id) {
			return true
		}
	}
	return false
}

// untold reports whether something is missing of which the statements do not say so yet. They must,
// before the index is lost, too.
func (m *memory) untold(told []ID) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for id := range m.missing {
		if !slices.Contains(told, id) {
			return true
		}
	}
	return false
}

// takeRead takes what was read from the disk. It reports whether a line meant nothing.
func (m *memory) takeRead(c store.Contents) (damaged bool) {
	news := slices.DeleteFunc(c.Statements, m.heard)
	parsed, err := m.openAll(news)
	if err != nil {
		damaged = true
		m.log.Warn("skipped damaged statements of the fleet", "err", err)
	}
	if _, err := m.take(parsed, false); err != nil {
		m.log.Debug("a statement on the disk has no place", "err", err)
	}
	return damaged
}

// openAll verifies what was read from our own disk, on all processors: a large fleet has thousands.
func (m *memory) openAll(data [][]byte) (good []*Statement, err error) {
	const least = 64 // statements for each
	parts := min(runtime.GOMAXPROCS(0), len(data)/least+1)
	opened, errs := make([]*Statement, len(data)), make([]error, len(data))
	var wg sync.WaitGroup
	for part := range parts {
		wg.Go(func() {
			for i := part; i < len(data); i += parts {
				opened[i], errs[i] = m.id.Open(data[i])
			}
		})
	}
	wg.Wait()
	for i, st := range opened {
		if errs[i] == nil {
			good = append(good, st)
		} else if err == nil {
			err = errs[i]
		}
	}
	return good, err
}

// compare finds out what the index names and the set lacks.
func (m *memory) compare() {
	index := m.store.Indexed()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missing = map[ID]struct{}{}
	for _, id := range index {
		_, have := m.set.all[id]
		_, waived := m.set.waived[id]
		if !have && !waived {
			m.missing[id] = struct{}{}
		}
	}
}

// crowded reports whether most lines on the disk are of what was forgotten since.
func (m *memory) crowded() bool {
	const slack = 1_000
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.store.Count() > 2*len(m.set.all)+slack
}

// heal writes the files anew. On a disk that takes nothing, the same is found at the next start.
func (m *memory) heal(damaged, indexDamaged bool) {
	m.saving.Lock()
	defer m.saving.Unlock()
	unlock, err := m.store.Lock()
	if err == nil {
		err = m.reload() // what other processes have written since
		for name, bad := range map[string]bool{store.StatementsFile: damaged, store.IndexFile: indexDamaged} {
			if bad {
				err = errors.Join(err, m.store.SetAside(name))
			}
		}
		err = errors.Join(err, m.rewrite(), unlock())
	}
	if err != nil {
		m.log.Warn("the statements of the fleet could not be written anew", "err", err)
	} else if damaged || indexDamaged {
		m.log.Warn("a damaged file of the fleet was set aside and written anew", "missing", len(m.missing))
	}
}

// rewrite writes both files anew, without what is forgotten. The caller holds saving and has the
// lock.
func (m *memory) rewrite() error {
	m.mu.Lock()
	var all []*Statement
	for _, st := range m.set.all {
		if st.Revocation == nil || !m.set.over(st) {
			all = append(all, st)
		}
	}
	missing := slices.SortedFunc(maps.Keys(m.missing), ID.Compare)
	m.mu.Unlock()
	slices.SortFunc(all, func(a, b *Statement) int { return a.ID.Compare(b.ID) })
	if err := m.store.Rewrite(entries(all), missing); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unsaved = slices.DeleteFunc(m.unsaved, func(st *Statement) bool { return slices.Contains(all, st) })
	return nil
}

// whole returns [ErrDamaged] while statements are missing that this node once had.
func (m *memory) whole() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.damage()
}

// damage is whole for a caller that holds mu.
func (m *memory) damage() error {
	if n := len(m.missing); n > 0 {
		return fmt.Errorf("%w: %d statements are missing; any member that has them brings them at the next contact", ErrDamaged, n)
	}
	return nil
}

// lost returns the statements that this node once had and has lost.
func (m *memory) lost() []ID {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(m.missing), ID.Compare)
}

// update writes what is not on the disk yet, and reads what other processes of this node have
// learned since.
func (m *memory) update() error {
	if m.left() {
		return ErrNoFleet
	}
	if err := m.saveOwed(); err != nil {
		m.log.Warn("a statement of the fleet is not on the disk yet", "err", err)
	}
	return m.reload()
}

func (m *memory) reload() error {
	c, err := m.store.Read()
	if err != nil {
		return err
	}
	m.takeRead(c)
	return nil
}

// refresh reads what other processes have learned, if they have written since it was last read.
func (m *memory) refresh() error {
	if !m.store.Stale() {
		return nil
	}
	return m.reload()
}
