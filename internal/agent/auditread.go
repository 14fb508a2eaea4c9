package agent

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/seed-b490fa12/swarm/internal/audit"
)

// The audit log of a worker is two chains: one of effects, trust and the owner's
// doings, and one of who read logs, which has a cap of its own. However much is read,
// it pushes no effect out.

func auditDir(stateDir string) string { return filepath.Join(stateDir, "audit") }

func readsDir(stateDir string) string { return filepath.Join(auditDir(stateDir), "reads") }

// entriesOf yields the entries of both chains in the order of their times. An error is
// yielded once, at the end.
func entriesOf(stateDir string, f audit.Filter) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		next, stop := iter.Pull2(audit.Read(readsDir(stateDir), f))
		defer stop()
		// read is the next log read; ok is false when there is none.
		pull := func() (read audit.Entry, ok bool, fault error) {
			for {
				e, err, more := next()
				switch {
				case !more, errors.Is(err, errNotExist):
					return e, false, nil
				case err != nil:
					return e, false, err
				case e.Kind != audit.KindAnchor: // the log's own
					return e, true, nil
				}
			}
		}
		read, ok, fault := pull()
		for e, err := range audit.Read(auditDir(stateDir), f) {
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
			yield(audit.Entry{}, fault)
		}
	}
}

// ReadAudit returns the last entries of the audit log in a state directory; none
// when there is no log.
func ReadAudit(stateDir string, last int) (out []AuditEntry, err error) {
	for e, err := range entriesOf(stateDir, audit.Filter{}) {
		if err != nil {
			if errors.Is(err, errNotExist) {
				err = nil
			}
			return out, err
		}
		if e.Kind == audit.KindAnchor {
			continue
		}
		if out = append(out, AuditEntry{e}); len(out) > last {
			out = out[1:]
		}
	}
	return out, nil
}

// VerifyAudit checks the audit log of a state directory on this machine, and that
// these ends that were told before are in it.
func VerifyAudit(stateDir string, known ...audit.Head) error {
	_, err := audit.Verify(auditDir(stateDir), known...)
	if err != nil {
		return err
	}
	dir := readsDir(stateDir)
	if _, err := os.Stat(dir); errors.Is(err, errNotExist) {
		return nil // of a worker that was not asked for logs yet, or of an older one
	}
	if _, err := audit.Verify(dir); err != nil {
		return fmt.Errorf("the record of who read logs: %w", err)
	}
	return nil
}
