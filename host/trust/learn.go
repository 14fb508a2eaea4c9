package trust

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/libp2p/go-libp2p/core/record"

	"github.com/seed-b490fa12/swarm/host/trust/store"
	"github.com/seed-b490fa12/swarm/internal/durable"
)

// Learn takes statements that are not known yet, from whomever: they prove themselves. It reports
// whether anything changed that others should hear of. Bad ones do not keep out the others.
//
// What cannot be written counts all the same, until this process ends; the error then matches
// [ErrNotSaved], and each further Learn or Reload tries again.
func (f *Fleet) Learn(statements ...[]byte) (bool, error) {
	var errs []error
	var parsed []*Statement
	for _, data := range statements {
		if f.heard(data) {
			continue
		}
		st, err := f.id.Open(data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		parsed = append(parsed, st)
	}
	news, err := f.take(parsed, true)
	return news, errors.Join(errors.Join(errs...), err, f.saveOwed())
}

// heard reports whether a statement is known already: the same bytes, so nothing has to be
// verified.
func (f *Fleet) heard(data []byte) bool {
	if len(data) > MaxStatement {
		return false
	}
	env, err := record.UnmarshalEnvelope(data)
	if err != nil {
		return false
	}
	for _, k := range []kind{grantKind(), revocationKind(), liftKind(), policyKind()} {
		if string(env.PayloadType) == k.codec {
			f.mu.RLock()
			_, known := f.set.all[k.id(env.RawPayload)]
			f.mu.RUnlock()
			return known
		}
	}
	return false
}

// take adds statements to the set, and acts on what they change. Owed are those that are not on the
// disk yet.
func (f *Fleet) take(statements []*Statement, owed bool) (news bool, err error) {
	var errs []error
	var roots []int64
	now := f.Now()
	own := f.ownID()
	// Which grants of a signer are kept depends on its own, and which revocations on what was lifted:
	// these come first.
	slices.SortStableFunc(statements, func(a, b *Statement) int {
		return cmp.Compare(rank(b.issuer() || b.Lift != nil), rank(a.issuer() || a.Lift != nil))
	})
	f.mu.Lock()
	for _, st := range statements {
		_, missed := f.missing[st.ID]
		added, err := f.set.add(st, now, !owed || missed)
		if err != nil {
			errs = append(errs, err)
		}
		if !added {
			f.decline(st.ID)
			continue
		}
		if owed {
			f.unsaved = append(f.unsaved, st)
		}
		if st.Signer == f.root {
			roots = append(roots, st.issued())
		}
		delete(f.missing, st.ID)
		news = news || st.common()
	}
	if news {
		f.digest = nil
		clear(f.declined) // there may be room by now
		for id := range f.set.waived {
			delete(f.missing, id)
		}
	}
	f.mu.Unlock()
	for _, at := range roots {
		f.floor.Learn(at)
	}
	if err := f.floor.Fault(); err != nil && len(roots) > 0 {
		f.log.Warn("the time floor could not be kept", "err", err)
	}
	if own != f.ownID() {
		news = true
	}
	if news {
		f.changed()
	}
	return news, errors.Join(errs...)
}

// maxDeclined is of how many statements it is remembered that there was no room for them.
const maxDeclined = 20_000

// decline notes a statement that is not asked for again. The caller holds mu.
func (f *Fleet) decline(id ID) {
	if _, have := f.set.all[id]; have {
		return
	}
	if len(f.declined) >= maxDeclined {
		clear(f.declined)
	}
	f.declined[id] = struct{}{}
}

// ownID names this node's own grant, as far as it counts.
func (f *Fleet) ownID() (id ID) {
	if c, err := f.self(); err == nil {
		id = c.st.ID
	}
	return id
}

// saveOwed writes what has to be written, if anything.
func (f *Fleet) saveOwed() error {
	f.mu.RLock()
	owed, stale := len(f.unsaved) > 0, !f.showsOwn()
	f.mu.RUnlock()
	if !owed && !stale {
		return nil
	}
	f.saving.Lock()
	defer f.saving.Unlock()
	unlock, err := f.store.Lock()
	if err != nil {
		if f.Left() {
			return ErrNoFleet
		}
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	if err = f.reload(); err == nil { // what others have written since is not passed over
		err = f.save()
	}
	return errors.Join(err, unlock())
}

// save writes the statements that have to be written, and what this node shows of itself. The
// caller holds saving and has the lock.
func (f *Fleet) save() error {
	f.mu.Lock()
	// What had to make room for something else meanwhile is not worth the disk.
	f.unsaved = slices.DeleteFunc(f.unsaved, func(st *Statement) bool { return f.set.all[st.ID] != st })
	owed := slices.Clone(f.unsaved)
	f.mu.Unlock()
	switch {
	case len(owed) == 0:
	case f.crowded(), f.store.Lost():
		if err := f.rewrite(); err != nil {
			return fmt.Errorf("%w: %w", ErrNotSaved, err)
		}
	default:
		if err := f.store.Add(entries(owed)); err != nil {
			return fmt.Errorf("%w: %w", ErrNotSaved, err)
		}
		f.mu.Lock()
		f.unsaved = slices.DeleteFunc(f.unsaved, func(st *Statement) bool { return slices.Contains(owed, st) })
		f.mu.Unlock()
	}
	return f.saveShown()
}

// showsOwn reports whether fleet.json holds what this node shows of itself. The caller holds mu.
func (f *Fleet) showsOwn() bool {
	now, _ := f.floor.Now()
	c, err := f.set.member(f.cfg.Self, now)
	if err != nil {
		return c == nil || len(f.shown) > 0 // what was good once is kept
	}
	return f.shown.Equal(c.chain())
}

// saveShown writes fleet.json where this node's own grant has changed, or the file was damaged.
func (f *Fleet) saveShown() error {
	f.mu.RLock()
	same := f.showsOwn()
	f.mu.RUnlock()
	c, _ := f.self()
	if same || c.st == nil {
		return nil
	}
	chain := c.chain()
	if _, err := f.id.Verify(chain, f.cfg.Self); err != nil {
		return nil // it ended, and not even its form can be shown
	}
	data, err := json.Marshal(Membership{f.id, f.name, chain})
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(f.cfg.Dir, membershipFile), data, 0o600); err != nil {
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shown = chain
	return nil
}

// open reads the files of the membership. What is damaged is healed where it can be computed
// again; what is missing is kept in mind.
func (f *Fleet) open(own *Credential) error {
	indexDamaged, err := f.store.ReadIndex()
	if err != nil {
		return fmt.Errorf("membership in %s: %w", f.cfg.Dir, err)
	}
	c, err := f.store.Read()
	if err != nil {
		return fmt.Errorf("membership in %s: %w", f.cfg.Dir, err)
	}
	damaged := f.takeRead(c) || c.Damaged
	short := f.unnamed()
	if own != nil {
		if _, err := f.take(own.statements(), true); err != nil {
			return err
		}
	}
	for _, id := range c.Missing { // the index was cut, too: it must name them before the other file is lost
		short = short || !f.store.Names(id)
	}
	f.store.Expect(c.Missing...)
	if damaged && indexDamaged {
		// Neither file can say what the other has lost.
		var unknown ID
		rand.Read(unknown[:]) // never fails
		f.store.Expect(unknown)
	}
	f.compare()
	if err := f.whole(); err != nil {
		f.log.Error("the statements of the fleet are damaged: no command is taken until they are whole again", "err", err)
	}
	if damaged || indexDamaged || short || f.untold(c.Missing) || f.crowded() {
		f.heal(damaged, indexDamaged)
	}
	if err := f.saveOwed(); err != nil {
		f.log.Warn("the membership could not be written", "err", err)
	}
	return nil
}

// unnamed reports whether the index lacks a statement that the node has: it was cut, or the machine
// stopped between writing the two. It is written anew before the other file is lost, too.
func (f *Fleet) unnamed() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for id, st := range f.set.all {
		if st.kept() && !f.store.Names(id) {
			return true
		}
	}
	return false
}

// untold reports whether something is missing of which the statements do not say so yet. They must,
// before the index is lost, too.
func (f *Fleet) untold(told []ID) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for id := range f.missing {
		if !slices.Contains(told, id) {
			return true
		}
	}
	return false
}

// takeRead takes what was read from the disk. It reports whether a line meant nothing.
func (f *Fleet) takeRead(c store.Contents) (damaged bool) {
	news := slices.DeleteFunc(c.Statements, f.heard)
	parsed, err := f.openAll(news)
	if err != nil {
		damaged = true
		f.log.Warn("skipped damaged statements of the fleet", "err", err)
	}
	if _, err := f.take(parsed, false); err != nil {
		f.log.Debug("a statement on the disk has no place", "err", err)
	}
	return damaged
}

// openAll verifies what was read from our own disk, on all processors: a large fleet has thousands.
func (f *Fleet) openAll(data [][]byte) (good []*Statement, err error) {
	const least = 64 // statements for each
	parts := min(runtime.GOMAXPROCS(0), len(data)/least+1)
	opened, errs := make([]*Statement, len(data)), make([]error, len(data))
	var wg sync.WaitGroup
	for part := range parts {
		wg.Go(func() {
			for i := part; i < len(data); i += parts {
				opened[i], errs[i] = f.id.Open(data[i])
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
func (f *Fleet) compare() {
	index := f.store.Indexed()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missing = map[ID]struct{}{}
	for _, id := range index {
		_, have := f.set.all[id]
		_, waived := f.set.waived[id]
		if !have && !waived {
			f.missing[id] = struct{}{}
		}
	}
}

// crowded reports whether most lines on the disk are of what was forgotten since.
func (f *Fleet) crowded() bool {
	const slack = 1_000
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.store.Count() > 2*len(f.set.all)+slack
}

// heal writes the files anew. On a disk that takes nothing, the same is found at the next start.
func (f *Fleet) heal(damaged, indexDamaged bool) {
	f.saving.Lock()
	defer f.saving.Unlock()
	unlock, err := f.store.Lock()
	if err == nil {
		err = f.reload() // what other processes have written since
		for name, bad := range map[string]bool{store.StatementsFile: damaged, store.IndexFile: indexDamaged} {
			if bad {
				err = errors.Join(err, f.store.SetAside(name))
			}
		}
		err = errors.Join(err, f.rewrite(), unlock())
	}
	if err != nil {
		f.log.Warn("the statements of the fleet could not be written anew", "err", err)
	} else if damaged || indexDamaged {
		f.log.Warn("a damaged file of the fleet was set aside and written anew", "missing", len(f.missing))
	}
}

// rewrite writes both files anew, without what is forgotten. The caller holds saving and has the
// lock.
func (f *Fleet) rewrite() error {
	f.mu.Lock()
	var all []*Statement
	for _, st := range f.set.all {
		if st.Revocation == nil || !f.set.over(st) {
			all = append(all, st)
		}
	}
	missing := slices.SortedFunc(maps.Keys(f.missing), ID.Compare)
	f.mu.Unlock()
	slices.SortFunc(all, func(a, b *Statement) int { return a.ID.Compare(b.ID) })
	if err := f.store.Rewrite(entries(all), missing); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unsaved = slices.DeleteFunc(f.unsaved, func(st *Statement) bool { return slices.Contains(all, st) })
	return nil
}

// whole returns [ErrDamaged] while statements are missing that this node once had.
func (f *Fleet) whole() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if n := len(f.missing); n > 0 {
		return fmt.Errorf("%w: %d statements are missing; any member that has them brings them at the next contact", ErrDamaged, n)
	}
	return nil
}

// Whole returns why nothing is decided here, or nil: see [ErrDamaged].
func (f *Fleet) Whole() error { return f.whole() }

// Missing returns the statements that this node once had and has lost.
func (f *Fleet) Missing() []ID {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(f.missing), ID.Compare)
}

// Reload reads what other processes of this node have learned since.
func (f *Fleet) Reload() error {
	if f.Left() {
		return ErrNoFleet
	}
	if err := f.saveOwed(); err != nil {
		f.log.Warn("a statement of the fleet is not on the disk yet", "err", err)
	}
	return f.reload()
}

func (f *Fleet) reload() error {
	c, err := f.store.Read()
	if err != nil {
		return err
	}
	f.takeRead(c)
	return nil
}

// refresh reads what other processes have learned, if they have written since it was last read.
func (f *Fleet) refresh() error {
	if !f.store.Stale() {
		return nil
	}
	return f.reload()
}
