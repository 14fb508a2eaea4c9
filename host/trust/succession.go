package trust

import (
	"fmt"
	"time"
)

// issuedAhead is how far past our time a grant may be signed, so that a clock that
// is wrong by the hour does no harm. What is dated later would outlast every grant
// that is signed until then, and is refused.
const issuedAhead = day

// void tells why a credential counts for nothing, whatever else is known: it was
// revoked, or its date is made up. A clock that cannot be right proves no date wrong.
func (f *Fleet) void(c *Credential) error {
	if err := f.records.Revoked().check(c); err != nil {
		return err
	}
	now, sane := f.floor.now()
	if latest := now.Add(issuedAhead); sane && time.UnixMilli(c.Grant.Issued).After(latest) {
		return fmt.Errorf("%w: it says that it was signed on %s, and our clock says %s", ErrNotYetValid, when(c.Grant.Issued), when(now.UnixMilli()))
	}
	return nil
}

// succeeds tells why the credential c does not take the place of old, another one
// of the same peer. It is the one rule for that: for members, for this node itself,
// and for what is read from the disk. Of two the same one counts, whichever came first;
// of two of the same millisecond, the one that came last.
func (f *Fleet) succeeds(c, old *Credential) error {
	if err := f.void(c); err != nil {
		return err
	}
	switch {
	case f.void(old) != nil:
		return nil
	case c.Grant.Issued >= old.Grant.Issued:
		return c.mayReplace(old)
	case old.mayReplace(c) != nil:
		return nil // it is newer, and should never have counted
	default:
		return fmt.Errorf("%w: signed on %s", ErrOlder, when(old.Grant.Issued))
	}
}

// mayReplace tells why the signer of c may not take the grant in old away. The root may.
func (c *Credential) mayReplace(old *Credential) error {
	if c.Issuer == nil {
		return nil
	}
	return c.Issuer.mayReplace(old.Grant, c.Grant)
}

// mayReplace tells why the issuer who holds g may not put the grant m in the place
// of old. Who could not have given a grant may not take it away either: else the
// least issuer could make any member into what it may give.
func (g *Grant) mayReplace(old, m *Grant) error {
	if old.MayIssue != nil {
		return fmt.Errorf("%w: %s may sign for others, so only the root replaces its grant", ErrIssuer, old.Name)
	}
	if err := g.mayGive(old); err != nil {
		return fmt.Errorf("%w, so it may not replace the grant of %s: %w", ErrIssuer, old.Name, err)
	}
	// New labels bring a machine under other rights: not under more of the issuer's own.
	if !coversAll(g.verbsOn(old.Labels), g.verbsOn(m.Labels)) {
		return fmt.Errorf("%w: %s may not give %s labels that bring it under its own rights", ErrIssuer, g.Name, old.Name)
	}
	return nil
}

// verbsOn are the verbs that the grant gives on a machine with these labels, now or
// for some time.
func (g *Grant) verbsOn(labels map[string]string) (out []string) {
	for _, r := range g.rights() {
		if on, err := ParseSelector(r.On); err == nil && on.Match(labels) {
			out = append(out, r.Verbs...)
		}
	}
	return out
}
