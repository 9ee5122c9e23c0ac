package keyspace

import "github.com/huddlecache/huddle/keyspace/internal/tree"

// A hash is Redis' hash: values by field.
type hash struct {
	fields tree.Tree[field]
	bytes  int64
}

type field struct {
	member
	value string
}

func (f field) size() int64 { return fieldCost + int64(len(f.name)+len(f.value)) }

func (h *hash) kind() kind  { return kindHash }
func (h *hash) size() int64 { return collectionCost + h.bytes }
func (h *hash) copy() value { return &hash{h.fields.Copy(), h.bytes} }

// len is 0 for nil too.
func (h *hash) len() int {
	if h == nil {
		return 0
	}
	return h.fields.Len()
}

func (h *hash) save(w *saver) {
	w.uvarint(uint64(h.fields.Len()))
	h.fields.Ascend(0, func(f field) bool {
		w.string(f.name)
		w.string(f.value)
		return w.err == nil
	})
}

// Above these numbers of elements, or bytes in one, Redis keeps a collection
// in another form, which clients see in OBJECT ENCODING.
const (
	maxListpack = 128
	maxIntset   = 512
	maxSmall    = 64
)

// encoding goes by what the hash is now; Redis never goes back to a listpack.
func (h *hash) encoding() string {
	if h.len() > maxListpack {
		return "hashtable"
	}
	isSmall := true
	h.fields.Ascend(0, func(f field) bool {
		isSmall = len(f.name) <= maxSmall && len(f.value) <= maxSmall
		return isSmall
	})
	if isSmall {
		return "listpack"
	}
	return "hashtable"
}

// get returns the value of a field. There is none in a hash that is nil.
func (h *hash) get(s *Space, name []byte) (val string, found bool) {
	if h == nil {
		return "", false
	}
	_, f, found := locate(&h.fields, s.hash(name), name)
	if !found {
		return "", false
	}
	return f.value, true
}

// set gives a field a value, and reports whether it is a new one.
func (h *hash) set(s *Space, name, val []byte) (isNew bool) {
	sum := s.hash(name)
	i, f, found := locate(&h.fields, sum, name)
	if found {
		h.bytes += int64(len(val) - len(f.value))
		f.value = string(val)
		h.fields.Set(i, f)
		return false
	}
	f = field{member{sum, string(name)}, string(val)}
	h.bytes += f.size()
	h.fields.Insert(i, f)
	return true
}

// remove takes a field out, and reports whether there was one.
func (h *hash) remove(s *Space, name []byte) bool {
	i, f, found := locate(&h.fields, s.hash(name), name)
	if found {
		h.bytes -= f.size()
		h.fields.Delete(i)
	}
	return found
}
