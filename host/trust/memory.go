package trust

import (
	"cmp"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"

	"github.com/seed-b490fa12/swarm/internal/statements"
)

// memory is what one node knows of its fleet: the signed statements that it has heard, also in a
// directory that several processes use, and the time floor. It is used concurrently.
type memory struct {
	cfg   FleetConfig
	log   *slog.Logger
	id    FleetID
	root  peer.ID
	name  string
	store *statements.Store
	floor *statements.Floor

	// saving is held while statements go to the disk. It is taken before mu, so that May never
	// waits for the disk.
	saving sync.Mutex

	mu      sync.RWMutex // guards what follows
	set     *set
	missing map[ID]struct{} // what the index names and the set lacks
	unsaved []*Statement    // what is not on the disk yet
	// carried is of closed books: it counts for nobody, but who has lost it decides nothing without it.
	carried statements.Carried[*Statement]
	shown   Chain // what fleet.json holds
	changes int   // of what all nodes should have, and of this node's own grant
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
	// Which grants of a signer are kept depends on its own, and which revocations on what was
	// lifted: these come first.
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
			m.carried.Take(st.ID, st)
			m.decline(st.ID, err)
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

// decline notes a statement that is not asked for again, but for one whose signer is not known: that may
// come with it the next time. The caller holds mu.
func (m *memory) decline(id ID, why error) {
	if _, have := m.set.all[id]; have || errors.Is(why, ErrSignerEnded) {
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
