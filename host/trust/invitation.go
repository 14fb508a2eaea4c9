package trust

import (
	"fmt"
	"slices"
)

// grant is what the ticket gives, as far as it is known before it is used.
func (inv *Invitation) grant() *Grant {
	g := &Grant{Role: inv.Role, Name: inv.Name, Verbs: inv.Verbs, On: inv.On, Labels: inv.Labels}
	if g.Verbs == nil {
		g.Verbs = g.Role.Verbs()
	}
	return g
}

// Commands reports whether the ticket gives any right.
func (inv *Invitation) Commands() bool { return inv.grant().commands() }

// NeedsPerson reports whether a person has to compare the joiner's peer ID, before or
// after: whoever brings this ticket may do more than read. The verbs say so,
// whatever the role is called.
func (inv *Invitation) NeedsPerson() bool {
	return inv.Role == RoleController || !coversAll([]string{ReadVerbs}, inv.grant().Verbs)
}

// MayInvite tells why the holder of a grant may not have another member redeem the
// ticket. The right to admit alone lets in machines that command nobody; beyond
// that one may invite to what one may issue, or has oneself for good.
func (g *Grant) MayInvite(inv *Invitation) error {
	m := inv.grant()
	if len(m.Verbs) == 0 && (m.Role == RoleWorker || m.Role == RoleRelay) {
		return nil
	}
	if g.MayIssue != nil && g.mayGive(m) == nil {
		return nil
	}
	switch {
	case m.Role != g.Role:
		return fmt.Errorf("%w: %s may not invite anybody as %s", ErrIssuer, g.Name, m.Role)
	case g.NoRenew:
		return fmt.Errorf("%w: %s is a member for a while, and may invite only workers and relays without verbs", ErrIssuer, g.Name)
	}
	for _, v := range m.Verbs {
		if !slices.ContainsFunc(g.rights(), func(r Right) bool { return r.hasForGood(v, m.On) }) {
			return fmt.Errorf("%w: %s has not the right %s on all of these machines for good, so it may not pass it on", ErrIssuer, g.Name, v)
		}
	}
	return nil
}

// hasForGood tells whether the right holds on all machines of a selector, without an end
// of its own.
func (r Right) hasForGood(verb, on string) bool {
	outer, err := ParseSelector(r.On)
	if err != nil || r.Expires != 0 || !coversOne(r.Verbs, verb) {
		return false
	}
	inner, err := ParseSelector(on)
	return err == nil && inner.Within(outer)
}
