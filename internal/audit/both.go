package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"
)

// The audit log of a worker is two chains: one of effects, trust and the owner's
// doings, and one of who read logs, which has a cap of its own. However much is read,
// it pushes no effect out.

// Dir returns where a worker with this state directory keeps both.
func Dir(stateDir string) string { return filepath.Join(stateDir, "audit") }

func readsDir(dir string) string { return filepath.Join(dir, "reads") }

// readBoth yields the entries of both chains in the order of their times. An error is
// yielded once, at the end.
func readBoth(dir string, since time.Time) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		next, stop := iter.Pull2(Read(readsDir(dir), since))
		defer stop()
		// read is the next log read; ok is false when there is none.
		pull := func() (read Entry, ok bool, fault error) {
			for {
				e, err, more := next()
				switch {
				case !more, errors.Is(err, fs.ErrNotExist):
					return e, false, nil
				case err != nil:
					return e, false, err
				case e.Kind != KindAnchor: // the log's own
					return e, true, nil
				}
			}
		}
		read, ok, fault := pull()
		for e, err := range Read(dir, since) {
			for ; ok && err == nil && read.Time < e.Time; read, ok, fault = pull() {
				if !yield(read, nil) {
					return
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
		for ; ok; read, ok, fault = pull() {
			if !yield(read, nil) {
				return
			}
		}
		if fault != nil {
			yield(Entry{}, fault)
		}
	}
}

// Last returns the last entries in dir, n at most; none when there is no log.
func Last(dir string, n int) (out []Entry, err error) {
	for e, err := range readBoth(dir, time.Time{}) {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return out, err
		}
		if e.Kind == KindAnchor {
			continue
		}
		if out = append(out, e); len(out) > n {
			out = out[1:]
		}
	}
	return out, nil
}

// VerifyBoth checks the audit log in dir, and that these ends that were told before are in its
// first chain.
func VerifyBoth(dir string, known ...Head) error {
	_, err := Verify(dir, known...)
	if err != nil {
		return err
	}
	dir = readsDir(dir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil // of a worker that was not asked for logs yet, or of an older one
	}
	if _, err := Verify(dir); err != nil {
		return fmt.Errorf("the record of who read logs: %w", err)
	}
	return nil
}
