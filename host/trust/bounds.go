package trust

import (
	"fmt"
	"path"
	"slices"
)

// mayGive returns why the bounds of the issuer with grant g do not let it give what m gives.
func (g *Grant) mayGive(m *Grant) error {
	b := g.MayIssue
	if b == nil {
		return fmt.Errorf("%s may not issue anything", g.Name)
	}
	if !b.hasRole(m.Role) {
		return fmt.Errorf("%s may not give the role %s", g.Name, m.Role)
	}
	for _, r := range m.rights() {
		if !coversAll(b.Verbs, r.Verbs) {
			return fmt.Errorf("%s may not give all of the verbs %v", g.Name, r.Verbs)
		}
		if err := g.narrower(r); err != nil {
			return err
		}
	}
	if ok, err := path.Match(b.Names, m.Name); b.Names != "" && (err != nil || !ok) {
		return fmt.Errorf("%s may not give the name %s", g.Name, m.Name)
	}
	for k, v := range b.Labels {
		if got, ok := m.Labels[k]; !ok || got != v {
			return fmt.Errorf("%s must give the label %s=%s", g.Name, k, v)
		}
	}
	return g.covers(m.Labels)
}

// covers returns why the holder of g may not give these labels. It gives labels only to machines
// that it has rights on: its rights follow the labels.
func (g *Grant) covers(labels map[string]string) error {
	on, err := ParseSelector(g.On)
	if err == nil && len(labels) > 0 && !on.Match(labels) {
		err = fmt.Errorf("%s may give labels only to machines of %s", g.Name, g.On)
	}
	return err
}

// narrower returns why m is a right on other machines than those that g has rights on.
func (g *Grant) narrower(m Right) error {
	if len(m.Verbs) == 0 {
		return nil
	}
	if !within(m.On, g.On) {
		return fmt.Errorf("%s may give rights only on %s", g.Name, g.On)
	}
	return nil
}

// within reports whether every machine of the selector inner is one of outer.
func within(inner, outer string) bool {
	in, err := ParseSelector(inner)
	if err != nil {
		return false
	}
	out, err := ParseSelector(outer)
	return err == nil && in.Within(out)
}

func (b *Bounds) hasRole(r Role) bool { return slices.Contains(b.Roles, r) }

// MayLetIn returns why the holder of the credential may not give a ticket's role.
func (c *Credential) MayLetIn(r Role) error {
	switch b := c.Grant.MayIssue; {
	case r == RoleIssuer && b != nil:
		return nil // signed by the root beforehand
	case b == nil || !b.hasRole(r):
		return fmt.Errorf("%w: %s may not give the role %s", ErrIssuer, c.Grant.Name, r)
	default:
		return nil
	}
}

// MayInvite returns why the holder of a grant may not have another member redeem a ticket that
// gives m. The right to admit alone lets in machines that command nobody; beyond that a member may
// invite to what it may issue, or has itself for good.
func (g *Grant) MayInvite(m *Grant) error {
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
		return fmt.Errorf("%w: %s is a member for a while, and may invite only workers and relays without verbs",
			ErrIssuer, g.Name)
	}
	for _, v := range m.Verbs {
		if !slices.ContainsFunc(g.rights(), func(r Right) bool { return r.hasForGood(v, m.On) }) {
			return fmt.Errorf("%w: %s has not the right %s on all of these machines for good, so it may not pass it on",
				ErrIssuer, g.Name, v)
		}
	}
	return nil
}

// hasForGood reports whether the right holds on all machines of a selector, without an end of its
// own.
func (r Right) hasForGood(verb, on string) bool {
	outer, err := ParseSelector(r.On)
	if err != nil || r.Expires != 0 || !coversOne(r.Verbs, verb) {
		return false
	}
	inner, err := ParseSelector(on)
	return err == nil && inner.Within(outer)
}
