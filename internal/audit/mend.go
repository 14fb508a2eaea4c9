package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-b490fa12/swarm/internal/durable"
)

// mend finds the end of the chain, mends what a crash may leave, and makes the log ready to append.
func (l *Log) mend() error {
	names, err := segments(l.cfg.Dir)
	if err != nil {
		return err
	}
	var damaged error
	for len(names) > 0 {
		last := names[len(names)-1]
		names = names[:len(names)-1]
		end, err := scan(last)
		if err != nil {
			return err
		}
		damaged = cmp.Or(end.damaged, damaged)
		switch {
		case end.size > 0 && damaged != nil:
			return l.leave(end.head, damaged)
		case end.size > 0:
			return l.resume(last, end)
		case end.damaged != nil && len(names) == 0 && last.first > 1:
			// Nothing is left to chain to; but a number that was told before is not given again.
			end.head = Head{Count: last.first - 1, Hash: hashOf(nil)}
			return errors.Join(putAside(last), l.leave(end.head, damaged))
		case end.damaged != nil:
			err = putAside(last)
		default:
			// A crash came between the segment's creation and its anchor, so it holds nothing that
			// was acknowledged.
			l.cfg.Logger.Warn("audit log: a segment without an entry was removed", "segment", filepath.Base(last.path))
			err = os.Remove(last.path)
		}
		if err != nil {
			return err
		}
	}
	if damaged != nil {
		return l.leave(Head{}, damaged)
	}
	return l.rotate()
}

// putAside frees the name of a segment without a good entry for the one that follows the entries
// before it.
func putAside(n name) error { return os.Rename(n.path, n.path+damagedEnding) }

// resume goes on at the end of a segment.
func (l *Log) resume(last name, end ending) error {
	seg, err := openSegment(last.path, end.size)
	if err != nil {
		return err
	}
	l.seg = seg
	l.setHead(end.head)
	if err := durable.SyncDir(l.cfg.Dir); err != nil {
		return err
	}
	if err := l.dropOld(); err != nil || end.torn == 0 {
		return err
	}
	l.cfg.Logger.Warn("audit log: a torn last line was cut off", "bytes", end.torn)
	return l.say(KindRepair, fmt.Sprintf("a torn last line of %d bytes was cut off", end.torn))
}

// leave keeps damaged segments as they are and goes on after head in a new one.
func (l *Log) leave(head Head, damaged error) error {
	l.cfg.Logger.Error("audit log: damaged entries were found", "err", damaged)
	l.setHead(head)
	if err := l.rotate(); err != nil {
		return err
	}
	return l.say(KindDamage, fmt.Sprintf("damaged entries were found and left as they are, after entry %d", head.Count))
}

// say appends an entry of the log's own.
func (l *Log) say(kind Kind, summary string) error {
	return l.put([]Entry{{Time: time.Now().UnixMilli(), Kind: kind, Summary: summary}})
}

// ending is how a segment ends.
type ending struct {
	head    Head
	size    int64 // of its good lines, from the beginning
	torn    int64 // bytes after the last newline
	damaged error // what is wrong with the line after the good ones
}

// scan reads a segment to its end, or to the first entry that is damaged.
func scan(n name) (ending, error) {
	f, err := durable.Open(n.path)
	if err != nil {
		return ending{}, err
	}
	defer f.Close()
	v := newVerifier(nil)
	v.segment, v.first = filepath.Base(n.path), n.first
	var end ending
	for r := newLines(f); ; {
		line, err := r.next()
		if err == io.EOF {
			end.torn = r.torn
			return end, nil
		}
		v.line++
		if err == nil {
			err = v.next(line)
		}
		if errors.Is(err, errLong) || errors.Is(err, ErrBroken) {
			end.damaged = err
			return end, nil
		}
		if err != nil {
			return ending{}, err
		}
		end.head, end.size = v.report.Head, end.size+int64(len(line))+1
	}
}
