package keyspace

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strings"
)

// sortCommands are SORT and its form that only reads.
func sortCommands() []Command {
	return []Command{
		{
			Name: "sort", Arity: -2, Writes: true, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"write", "denyoom", "movablekeys"}, Group: "generic", Since: "1.0.0",
			Summary: "Sort the elements in a list, set or sorted set",
			run:     sortKey(false), keys: sortKeys,
		},
		{
			Name: "sort_ro", Arity: -2, FirstKey: 1, LastKey: 1, Step: 1,
			Flags: []string{"readonly", "movablekeys"}, Group: "generic", Since: "7.0.0",
			Summary: "Sort the elements in a list, set or sorted set. Read-only variant of SORT.",
			run:     sortKey(true), keys: sortKeys,
		},
	}
}

// A sortOrder is what SORT is asked for.
type sortOrder struct {
	isDesc, isAlpha bool
	isAsIs          bool   // BY a pattern without a star: not sorted
	by              []byte // nil: the elements themselves
	get             [][]byte
	store           []byte // nil: reply
	start, count    int64  // count below zero: all
}

func (o *sortOrder) parse(c *call, args [][]byte, isRead bool) bool {
	o.count = -1
	for i := 0; i < len(args); i++ {
		left := len(args) - i - 1
		switch word := args[i]; {
		case isWord(word, "asc"):
			o.isDesc = false
		case isWord(word, "desc"):
			o.isDesc = true
		case isWord(word, "alpha"):
			o.isAlpha = true
		case isWord(word, "limit") && left >= 2:
			var ok bool
			if o.start, o.count, ok = c.interval(args[i+1], args[i+2]); !ok {
				return false
			}
			i += 2
		case isWord(word, "store") && left >= 1 && !isRead:
			i++
			o.store = args[i]
		case isWord(word, "by") && left >= 1:
			i++
			o.by = args[i]
			o.isAsIs = bytes.IndexByte(o.by, '*') < 0
		case isWord(word, "get") && left >= 1:
			i++
			o.get = append(o.get, args[i])
		default:
			c.reply.fail(errSyntax)
			return false
		}
	}
	return true
}

// cut returns which of n elements LIMIT leaves, from start up to but not end.
func (o *sortOrder) cut(n int) (start, end int) {
	size := int64(n)
	from := min(max(o.start, 0), size)
	to := size
	if o.count >= 0 && o.count < size-from {
		to = from + o.count
	}
	return int(from), int(to)
}

// A sortable is an element with what it is sorted by.
type sortable struct {
	name   string
	weight float64 // where numbers are compared
	by     []byte  // where bytes are; nil before all others
}

// sortKey returns the function of SORT or SORT_RO.
func sortKey(isRead bool) func(*call) {
	return func(c *call) {
		var o sortOrder
		if !o.parse(c, c.args[2:], isRead) {
			return
		}
		e := c.read(c.args[1])
		elements, ok := c.sortables(e)
		if !ok {
			return
		}
		if o.isAsIs && o.store != nil && e != nil && e.value.kind() == kindSet {
			// What is stored must not be in an order that means nothing.
			o.isAsIs, o.isAlpha, o.by = false, true, nil
		}
		switch {
		case !o.isAsIs:
			if !c.weigh(&o, elements) {
				return
			}
			slices.SortStableFunc(elements, o.compare)
		case o.isDesc && e != nil && e.value.kind() != kindSet:
			slices.Reverse(elements)
		}
		start, end := o.cut(len(elements))
		c.answerSort(&o, elements[start:end])
	}
}

// sortables returns the elements of a list, set or sorted set.
func (c *call) sortables(e *entry) (elements []sortable, ok bool) {
	if e == nil {
		return nil, true
	}
	add := func(name string) bool {
		elements = append(elements, sortable{name: name})
		return true
	}
	switch v := e.value.(type) {
	case *list:
		v.items.Ascend(0, add)
	case *set:
		v.each(func(m member) bool { return add(m.name) })
	case *zset:
		v.byScore.Ascend(0, func(r ranked) bool { return add(r.name) })
	default:
		c.reply.fail(errWrongType)
		return nil, false
	}
	return elements, true
}

// weigh finds what the elements are to be sorted by.
func (c *call) weigh(o *sortOrder, elements []sortable) bool {
	for i := range elements {
		el := &elements[i]
		by, found := []byte(el.name), true
		if o.by != nil {
			by, found = c.dereference(o.by, el.name)
		}
		switch {
		case !found:
		case o.isAlpha:
			el.by = by
		default:
			weight, isWhole, isExact := scanDouble(by)
			if !isWhole || !isExact || math.IsNaN(weight) {
				c.reply.fail("ERR One or more scores can't be converted into double")
				return false
			}
			el.weight = weight
		}
	}
	return true
}

func (o *sortOrder) compare(a, b sortable) int {
	var order int
	switch {
	case !o.isAlpha:
		order = cmp.Or(cmp.Compare(a.weight, b.weight), strings.Compare(a.name, b.name))
	case a.by == nil || b.by == nil:
		order = cmp.Compare(btoi(a.by != nil), btoi(b.by != nil))
	default:
		order = bytes.Compare(a.by, b.by)
	}
	if o.isDesc {
		return -order
	}
	return order
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// dereference returns what a pattern means for an element: the element itself
// for #, else what the key holds that has the element in place of the star, or
// a field of it behind "->".
func (c *call) dereference(pattern []byte, element string) (val []byte, found bool) {
	if string(pattern) == "#" {
		return []byte(element), true
	}
	before, after, found := bytes.Cut(pattern, []byte("*"))
	if !found {
		return nil, false
	}
	var name []byte
	if behind, inside, isField := bytes.Cut(after, []byte("->")); isField && len(inside) > 0 {
		after, name = behind, inside
	}
	e := c.read(slices.Concat(before, []byte(element), after))
	if e == nil {
		return nil, false
	}
	switch v := e.value.(type) {
	case *hash:
		if name != nil {
			s, found := v.get(c.space, name)
			return []byte(s), found
		}
	case text:
		if name == nil {
			return append([]byte{}, v...), true
		}
	}
	return nil, false
}

// answerSort replies with the elements, or what GET makes of them, or stores
// that.
func (c *call) answerSort(o *sortOrder, elements []sortable) {
	get := o.get
	if len(get) == 0 {
		get = [][]byte{[]byte("#")}
	}
	if o.store == nil {
		c.reply.array(len(elements) * len(get))
	}
	result := &list{}
	for _, el := range elements {
		for _, pattern := range get {
			val, found := c.dereference(pattern, el.name)
			switch {
			case o.store != nil:
				result.push(string(val), false)
			case found:
				c.reply.bulk(val)
			default:
				c.reply.null()
			}
		}
	}
	if o.store == nil {
		return
	}
	if result.len() > 0 && c.isTight(nil) {
		c.refuse()
		return
	}
	c.replace(o.store, result)
	c.reply.integer(int64(result.len()))
}

// sortKeys returns the positions of SORT's keys: its own, and that of STORE.
func sortKeys(args [][]byte) []int {
	keys := []int{1}
	for i := 2; i < len(args); i++ {
		switch {
		case isWord(args[i], "limit"):
			i += 2
		case isWord(args[i], "by"), isWord(args[i], "get"):
			i++
		case isWord(args[i], "store") && i+1 < len(args):
			i++
			keys = append(keys[:1], i)
		}
	}
	return keys
}
