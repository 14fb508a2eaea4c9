package ticket

import (
	"slices"

	"github.com/seed-b490fa12/swarm/host/trust"
)

// Grant returns what the ticket gives, as far as it is known before it is used.
func (inv *Invitation) Grant() *trust.Grant {
	g := &trust.Grant{Role: inv.Role, Name: inv.Name, Verbs: inv.Verbs, On: inv.On, Labels: inv.Labels}
	if g.Verbs == nil {
		g.Verbs = g.Role.Verbs()
	}
	return g
}

// Commands reports whether the ticket gives any right.
func (inv *Invitation) Commands() bool { return len(inv.Grant().Verbs) > 0 }

// NeedsPerson reports whether a person has to compare the joiner's peer ID, before or after,
// because the ticket gives more than the right to read. The verbs decide, whatever the role is
// called.
func (inv *Invitation) NeedsPerson() bool {
	read := trust.Grant{Verbs: []string{trust.ReadVerbs}}
	return inv.Role == trust.RoleController ||
		slices.ContainsFunc(inv.Grant().Verbs, func(v string) bool { return !read.Has(v) })
}
