package audit

import (
	"context"
	"fmt"
	"time"
)

// batch is what goes to the disk with one sync.
type batch struct {
	entries []Entry // with number and hashes once done
	done    bool    // guarded by Log.commit, as is err
	err     error
}

// Append records e and returns it with its number and hashes. When it returns nil, the entry is on
// the disk. On an error the caller must not do what it was going to record. Entries of concurrent
// callers share one sync.
func (l *Log) Append(ctx context.Context, e Entry) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, fmt.Errorf("append to audit log: %w", err)
	}
	if err := e.validate(); err != nil {
		return Entry{}, err
	}
	if e.Time == 0 {
		e.Time = time.Now().UnixMilli()
	}
	b, i := l.enqueue(e)
	// Whoever gets here first commits the entries of all that came meanwhile, and they find theirs
	// done.
	l.commit.Lock()
	defer l.commit.Unlock()
	if !b.done {
		l.commitNext()
	}
	if b.err != nil {
		return Entry{}, fmt.Errorf("append to audit log: %w", b.err)
	}
	return b.entries[i], nil
}

func (l *Log) enqueue(e Entry) (*batch, int) {
	l.queue.Lock()
	defer l.queue.Unlock()
	if l.next == nil {
		l.next = new(batch)
	}
	l.next.entries = append(l.next.entries, e)
	return l.next, len(l.next.entries) - 1
}

// commitNext puts what is queued on the disk. The caller holds l.commit.
func (l *Log) commitNext() {
	l.queue.Lock()
	b := l.next
	l.next = nil
	l.queue.Unlock()
	b.err = l.put(b.entries)
	b.done = true
}

// put chains the entries in place and writes and syncs them, in a new segment where the present one
// is full. The caller holds l.commit.
func (l *Log) put(entries []Entry) error {
	switch {
	case l.closed:
		return ErrClosed
	case l.broken != nil:
		return l.broken
	}
	var lines []byte
	head := l.Head()
	for i := range entries {
		e, line, err := seal(entries[i], head)
		if err != nil {
			return err
		}
		if l.seg.size+int64(len(lines)+len(line)) > l.cfg.SegmentBytes {
			if err := l.write(lines, head); err != nil {
				return err
			}
			if err := l.rotate(); err != nil {
				return err
			}
			lines = lines[:0]
			if e, line, err = seal(entries[i], l.Head()); err != nil {
				return err
			}
		}
		entries[i], lines, head = e, append(lines, line...), Head{Count: e.Seq, Hash: e.Hash}
	}
	return l.write(lines, head)
}

// write adds lines, which end the chain in head, to the segment.
func (l *Log) write(lines []byte, head Head) error {
	if len(lines) == 0 {
		return nil
	}
	if err := l.seg.write(lines, l.cfg.step); err != nil {
		if l.seg.unsure {
			// What a failed sync or cut left on the disk is unknown, and a later sync would not
			// tell: the log has to be opened, and so read, again.
			l.broken = fmt.Errorf("the audit log has to be opened again: %w", err)
		}
		return err
	}
	l.setHead(head)
	return nil
}

// rotate begins a new segment and drops the oldest.
func (l *Log) rotate() error {
	seg, head, err := createSegment(l.cfg, l.Head())
	if err != nil {
		return fmt.Errorf("begin a segment: %w", err)
	}
	old := l.seg
	l.seg = seg
	l.setHead(head)
	if old != nil {
		if err := old.file.Close(); err != nil {
			return err
		}
	}
	return l.dropOld()
}
