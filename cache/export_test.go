package cache

// Deafen plants a fault: the cache hears nothing of the log any more, and does
// not know it.
func (c *Cache) Deafen() { c.unsubscribe() }

// LoseAll plants a fault: what this node keeps is lost.
func (c *Cache) LoseAll() { c.store.keep(func(place) bool { return false }) }
