package founding

// ForgetAnswers plants a fault: the core forgets what it has answered, as if
// promises ran out.
func (c *Core) ForgetAnswers() {
	clear(c.answered)
	if c.phase == bound {
		c.phase, c.ballot = looking, nil
	}
}

// Promises says whether the core is bound to a list that it has not started.
func (c *Core) Promises() bool { return c.phase == bound }

// AppendSaved appends what a durable identity keeps.
func (c *Core) AppendSaved(b []byte) []byte { return c.appendSaved(b) }
