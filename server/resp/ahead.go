package resp

// Ahead waits until more has arrived than was read before, and keeps it for
// the next commands: so whoever executes a command that takes long notices
// that its client hangs up. The error is the source's. Arguments of commands
// that were returned before are not good any more.
func (r *Reader) Ahead() error { return r.fill() }
