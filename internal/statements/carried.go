package statements

// maxCarried bounds what is carried for others, and what is looked for.
const maxCarried = 1_000

// Carried are statements that others have lost, and that this node does not keep itself, on their way from
// a machine that has them to one that lacks them, which may never meet. They go with the process. It is
// guarded by its user.
type Carried[T any] struct {
	wanted map[ID]struct{}
	bodies map[ID]T
}

// Want notes what others have lost and this node does not have: the first 1,000 of these, and no others with
// them.
func (c *Carried[T]) Want(ids []ID) {
	if len(ids) == 0 {
		return
	}
	if c.wanted == nil || len(c.wanted)+len(ids) > maxCarried {
		c.wanted = make(map[ID]struct{})
	}
	for _, id := range ids[:min(len(ids), maxCarried)] {
		if _, there := c.bodies[id]; !there {
			c.wanted[id] = struct{}{}
		}
	}
}

// Take carries a statement, if it is wanted.
func (c *Carried[T]) Take(id ID, body T) {
	if _, wanted := c.wanted[id]; !wanted {
		return
	}
	delete(c.wanted, id)
	if c.bodies == nil || len(c.bodies) >= maxCarried {
		c.bodies = make(map[ID]T)
	}
	c.bodies[id] = body
}

// Body returns what is carried.
func (c *Carried[T]) Body(id ID) (body T, ok bool) {
	body, ok = c.bodies[id]
	return body, ok
}

// Wanted returns what is looked for.
func (c *Carried[T]) Wanted() (ids []ID) {
	for id := range c.wanted {
		ids = append(ids, id)
	}
	return ids
}
