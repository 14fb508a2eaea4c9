package discovery

import "sync"

// Changes wakes those who wait for a change of the machine's network. The zero value is ready, and
// of a nil one there is never any. Its methods may be called concurrently.
type Changes struct {
	mu   sync.Mutex    // guards next
	next chan struct{} // is closed by the next change; nil while nobody waits
}

// Next returns a channel that is closed by the next change.
func (c *Changes) Next() <-chan struct{} {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.next
}

// Happened wakes all who wait.
func (c *Changes) Happened() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}
