package keyspace

// A kind is the type of a value. Its number is in snapshots and never reused.
type kind uint8

const kindString kind = 1

// String returns what TYPE calls the kind.
func (k kind) String() string {
	switch k {
	case kindString:
		return "string"
	}
	return "unknown"
}

// A value is what a key holds; each kind has one type. Values that a snapshot
// may share are never changed: a command puts another one in their place. (A
// kind that holds a tree changes what its tree copies on write, and has the
// entry copied with it.)
type value interface {
	kind() kind
	size() int64   // logical bytes, a function of the content alone
	save(w *saver) // writes the content to a snapshot
}

// A text is Redis' string: any bytes. What lies behind its length within its
// capacity belongs to the entry that is current, and APPEND grows into it;
// what snapshots see of it does not change.
type text []byte

func (t text) kind() kind    { return kindString }
func (t text) size() int64   { return int64(len(t)) }
func (t text) save(w *saver) { w.bytes(t) }
