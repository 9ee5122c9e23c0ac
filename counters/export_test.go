package counters

// Reencode decodes a command or a query, and encodes it again.
func Reencode(data []byte) ([]byte, error) {
	c, err := parse(data)
	if err != nil {
		return nil, err
	}
	switch c.kind {
	case kindAdd:
		return appendAdd(nil, c.name, c.n, c.ttl), nil
	case kindTake:
		return takeCommand(c.calls), nil
	case kindPeek:
		return appendPeek(nil, c.calls), nil
	case kindDeny:
		return appendDeny(nil, c.bounds, c.calls), nil
	case kindGet:
		return appendGet(nil, c.name), nil
	default:
		return appendRemove(nil, c.kind, c.name), nil
	}
}

// TakeCommand is the command of a Take.
func TakeCommand(limits ...Limit) []byte {
	calls, err := callsOf(limits)
	if err != nil {
		panic(err)
	}
	return takeCommand(calls)
}
