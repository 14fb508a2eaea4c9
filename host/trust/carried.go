package trust

// maxCarried bounds what is carried for others, and what is looked for.
const maxCarried = 1_000

// carried are statements that others have lost, and that this node does not keep itself: what a closed
// book holds counts for nobody, but who once had it and has lost it decides nothing until it is there again
// to be looked at. They are on their way from a machine that has them to one that lacks them, which may
// never meet, and go with the process.
type carried struct {
	wanted map[ID]struct{}
	bodies map[ID]*Statement
}

// want notes what others have lost and this node does not have.
func (c *carried) want(ids []ID) {
	if c.wanted == nil || len(c.wanted)+len(ids) > maxCarried {
		c.wanted = make(map[ID]struct{})
	}
	for _, id := range ids[:min(len(ids), maxCarried)] {
		if c.bodies[id] == nil {
			c.wanted[id] = struct{}{}
		}
	}
}

// take carries a statement that is wanted.
func (c *carried) take(st *Statement) {
	if _, wanted := c.wanted[st.ID]; !wanted {
		return
	}
	delete(c.wanted, st.ID)
	if c.bodies == nil || len(c.bodies) >= maxCarried {
		c.bodies = make(map[ID]*Statement)
	}
	c.bodies[st.ID] = st
}

// Seek notes what a peer has lost: what this node does not have is asked of others.
func (e *Exchange) Seek(lost []ID) {
	e.memory.mu.Lock()
	defer e.memory.mu.Unlock()
	var unknown []ID
	for _, id := range lost {
		if e.memory.set.all[id] == nil {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) > 0 {
		e.memory.carried.want(unknown)
	}
}

// Sought returns what this node has lost itself, and what it seeks for others: at most so many.
func (e *Exchange) Sought(most int) (ids []ID) {
	e.memory.mu.RLock()
	defer e.memory.mu.RUnlock()
	ids = e.memory.lostIDs()
	for id := range e.memory.carried.wanted {
		ids = append(ids, id)
	}
	return ids[:min(len(ids), most)]
}
