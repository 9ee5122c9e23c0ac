package keyspace

import "github.com/huddlecache/huddle/keyspace/internal/tree"

// A set is Redis' set of strings.
type set struct {
	members tree.Tree[member]
	bytes   int64
}

func (m member) size() int64 { return memberCost + int64(len(m.name)) }

func (v *set) kind() kind  { return kindSet }
func (v *set) size() int64 { return collectionCost + v.bytes }
func (v *set) copy() value { return &set{v.members.Copy(), v.bytes} }

// len is 0 for nil too.
func (v *set) len() int {
	if v == nil {
		return 0
	}
	return v.members.Len()
}

func (v *set) save(w *saver) {
	w.uvarint(uint64(v.members.Len()))
	v.each(func(m member) bool {
		w.string(m.name)
		return w.err == nil
	})
}

// encoding goes by what the set is now; Redis never goes back to an intset.
func (v *set) encoding() string {
	isInts := v.len() <= maxIntset
	if isInts {
		v.each(func(m member) bool {
			_, isInts = parseInt([]byte(m.name))
			return isInts
		})
	}
	if isInts {
		return "intset"
	}
	return "hashtable"
}

// each calls visit for all members, of which nil has none, as long as it
// returns true.
func (v *set) each(visit func(member) bool) {
	if v != nil {
		v.members.Ascend(0, visit)
	}
}

// has is false for nil.
func (v *set) has(m member) bool {
	if v == nil {
		return false
	}
	_, other, found := v.members.Search(func(other member) bool { return other.isBefore(m.hash, m.name) })
	return found && other == m
}

// contains is has of a name.
func (v *set) contains(s *Space, name []byte) bool {
	if v == nil {
		return false
	}
	_, _, found := locate(&v.members, s.hash(name), name)
	return found
}

// add puts a name in, and reports whether it is new.
func (v *set) add(s *Space, name []byte) bool {
	hash := s.hash(name)
	i, _, found := locate(&v.members, hash, name)
	if !found {
		v.insert(i, member{hash, string(name)})
	}
	return !found
}

// include is add of a member.
func (v *set) include(m member) {
	i, other, found := v.members.Search(func(other member) bool { return other.isBefore(m.hash, m.name) })
	if !found || other != m {
		v.insert(i, m)
	}
}

func (v *set) insert(i int, m member) {
	v.members.Insert(i, m)
	v.bytes += m.size()
}

// remove takes a name out, and reports whether it was there.
func (v *set) remove(s *Space, name []byte) bool {
	i, _, found := locate(&v.members, s.hash(name), name)
	if found {
		v.removeAt(i)
	}
	return found
}

func (v *set) removeAt(i int) member {
	m := v.members.Delete(i)
	v.bytes -= m.size()
	return m
}
