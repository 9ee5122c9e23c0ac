package keyspace

// A kind is the type of a value. Its number is in snapshots and never reused.
type kind uint8

const (
	kindString kind = 1
	kindHash   kind = 2
	kindSet    kind = 3
	kindList   kind = 4
	kindZSet   kind = 5
)

// String returns what TYPE calls the kind.
func (k kind) String() string {
	switch k {
	case kindString:
		return "string"
	case kindHash:
		return "hash"
	case kindSet:
		return "set"
	case kindList:
		return "list"
	case kindZSet:
		return "zset"
	}
	return "unknown"
}

// empty returns a new value of a kind that holds elements.
func (k kind) empty() collection {
	switch k {
	case kindHash:
		return &hash{}
	case kindSet:
		return &set{}
	case kindList:
		return &list{}
	case kindZSet:
		return &zset{}
	}
	panic("keyspace: " + k.String() + " holds no elements")
}

// A value is what a key holds; each kind has one type. Which values may be
// changed in place is said at entry.
type value interface {
	kind() kind
	size() int64      // logical bytes, a function of the content alone
	save(w *saver)    // writes the content to a snapshot
	copy() value      // one that can be changed without this one, which others may read meanwhile
	encoding() string // what OBJECT ENCODING says
}

// A collection is a value of elements. A key never holds an empty one.
type collection interface {
	value
	len() int
}

// What Size counts for a collection and for each element besides its bytes, as
// measured by BenchmarkElements.
const (
	collectionCost = 128
	fieldCost      = 80
	memberCost     = 48
	elementCost    = 32
	scoredCost     = 104
)

// A text is Redis' string: any bytes. What lies behind its length within its
// capacity belongs to the entry that is current, and APPEND grows into it;
// what snapshots see of it does not change.
type text []byte

func (t text) kind() kind    { return kindString }
func (t text) size() int64   { return int64(len(t)) }
func (t text) save(w *saver) { w.bytes(t) }
func (t text) copy() value   { return append(text{}, t...) }

func (t text) encoding() string {
	const longestEmbedded = 44
	if _, isInt := parseInt(t); isInt {
		return "int"
	}
	if len(t) <= longestEmbedded {
		return "embstr"
	}
	return "raw"
}
