package trust

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/seed-b490fa12/swarm/internal/durable"
	"github.com/seed-b490fa12/swarm/internal/statements"
)

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
func (m *memory) takeRead(c statements.Contents) (damaged bool) {
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
		for name, bad := range map[string]bool{statements.StatementsFile: damaged, statements.IndexFile: indexDamaged} {
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
		return fmt.Errorf("%w: %d statements are missing; any member that has them brings them at the next contact",
			ErrDamaged, n)
	}
	return nil
}

// lost returns the statements that this node once had and has lost.
func (m *memory) lost() []ID {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.lostIDs()
}

// lostIDs is lost for a caller that holds mu.
func (m *memory) lostIDs() []ID { return slices.SortedFunc(maps.Keys(m.missing), ID.Compare) }

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
