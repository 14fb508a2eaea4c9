package trust

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

const (
	recordsDir   = "records"
	recordSuffix = ".record"
	lockFile     = "lock" // held while records are written
)

// Merge takes records that are newer than those known, keeps them, and tells
// whether there were any. Bad and older ones do not keep out the others. What
// cannot be written counts all the same, until this process ends; the error then
// matches [ErrNotSaved], and each further Merge or Reload tries again.
func (f *Fleet) Merge(envelopes ...[]byte) (bool, error) {
	taken, err := f.records.merge(envelopes)
	f.owe(taken)
	if len(taken) > 0 {
		f.took(taken) // what is revoked ends now, whatever the disk does
	}
	return len(taken) > 0, errors.Join(err, f.saveOwed())
}

// Revise signs the signer's next record and takes it. Of one signer the newest record
// counts, so what other processes of this machine have signed is read first, and
// none of them signs meanwhile.
func (f *Fleet) Revise(s *Signer, c Change) (err error) {
	unlock, err := f.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := f.reload(); err != nil {
		return err
	}
	data, err := s.Revise(f.records, c, f.Now())
	if err != nil {
		return err
	}
	taken, err := f.records.merge([][]byte{data})
	if err == nil && len(taken) == 0 {
		err = fmt.Errorf("%w: another one of the same signer came meanwhile; try again", ErrOlder)
	}
	if err != nil {
		return fmt.Errorf("take the new record: %w", err)
	}
	f.owe(taken)
	f.took(taken)
	return f.save()
}

// owe notes records that have to be written.
func (f *Fleet) owe(records []*signedRecord) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, rec := range records {
		if old := f.unsaved[rec.Signer]; old == nil || old.Seq < rec.Seq {
			f.unsaved[rec.Signer] = rec
		}
	}
}

// owed returns the records that have to be written.
func (f *Fleet) owed() []*signedRecord {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.Collect(maps.Values(f.unsaved))
}

// saveOwed writes what has to be written, if anything.
func (f *Fleet) saveOwed() error {
	if len(f.owed()) == 0 {
		return nil
	}
	unlock, err := f.lock()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	return errors.Join(f.save(), unlock())
}

// lock keeps the other processes of this machine from writing records.
func (f *Fleet) lock() (unlock func() error, err error) {
	if f.Left() {
		return nil, ErrNoFleet
	}
	return durable.Lock(filepath.Join(f.cfg.Dir, lockFile))
}

// save writes the records that have to be written. The caller has the lock.
func (f *Fleet) save() (err error) {
	for _, rec := range f.owed() {
		if bad := f.saveOne(rec); bad != nil {
			err = errors.Join(err, fmt.Errorf("%w: %w", ErrNotSaved, bad))
			continue
		}
		f.mu.Lock()
		if f.unsaved[rec.Signer] == rec {
			delete(f.unsaved, rec.Signer)
		}
		f.mu.Unlock()
	}
	return err
}

// saveOne writes a record, unless another process has written a newer one.
func (f *Fleet) saveOne(rec *signedRecord) error {
	name := rec.Signer.String() + recordSuffix
	old, err := readBounded(filepath.Join(f.cfg.Dir, recordsDir, name), maxRecordBytes)
	if err == nil {
		if there, err := f.id.verifyRecord(old); err == nil && there.Seq > rec.Seq {
			return nil
		}
	}
	return f.writeInto(recordsDir, name, rec.data)
}

// took acts on records that are newly known.
func (f *Fleet) took(records []*signedRecord) {
	for _, rec := range records {
		f.learnTime(rec)
		if rec.TimeFloor != 0 {
			f.told(f.floor.lower(rec.TimeFloor))
		}
	}
	f.changed()
}

// learnTime raises the time floor by a record, whenever it is read. It is lowered
// once, when the record comes: what has raised it since stays.
func (f *Fleet) learnTime(rec *signedRecord) {
	at := rec.Time
	if rec.TimeFloor != 0 {
		at = min(at, rec.TimeFloor)
	}
	f.told(f.floor.raise(at))
}

// told logs a fault of the time floor: there is nobody to return it to.
func (f *Fleet) told(err error) {
	if err != nil {
		f.log.Warn("the time floor could not be kept", "err", err)
	}
}
