package keyspace

import "github.com/huddlecache/huddle/keyspace/internal/tree"

// A list is Redis' list.
type list struct {
	items tree.Tree[string]
	bytes int64
}

func (l *list) kind() kind       { return kindList }
func (l *list) size() int64      { return collectionCost + l.bytes }
func (l *list) copy() value      { return &list{l.items.Copy(), l.bytes} }
func (l *list) encoding() string { return "quicklist" }

// len is 0 for nil too.
func (l *list) len() int {
	if l == nil {
		return 0
	}
	return l.items.Len()
}

func (l *list) save(w *saver) {
	w.uvarint(uint64(l.items.Len()))
	l.items.Ascend(0, func(s string) bool {
		w.string(s)
		return w.err == nil
	})
}

func (l *list) insert(i int, s string) {
	l.items.Insert(i, s)
	l.bytes += elementCost + int64(len(s))
}

func (l *list) removeAt(i int) string {
	s := l.items.Delete(i)
	l.bytes -= elementCost + int64(len(s))
	return s
}

// push puts s at the left or the right end.
func (l *list) push(s string, isLeft bool) {
	if isLeft {
		l.insert(0, s)
	} else {
		l.insert(l.len(), s)
	}
}

// pop takes an element from the left or the right end of a list that has one.
func (l *list) pop(isLeft bool) string {
	if isLeft {
		return l.removeAt(0)
	}
	return l.removeAt(l.len() - 1)
}

// walk calls visit for all elements with their positions, of which nil has
// none, forwards or from the end, as long as it returns true.
func (l *list) walk(isBackward bool, visit func(i int, s string) bool) {
	if l == nil {
		return
	}
	if isBackward {
		i := l.len()
		l.items.Descend(i-1, func(s string) bool {
			i--
			return visit(i, s)
		})
		return
	}
	i := -1
	l.items.Ascend(0, func(s string) bool {
		i++
		return visit(i, s)
	})
}

// span returns the positions from start up to but not end that two of Redis'
// indexes mean in a sequence of n: below zero they count from behind, and the
// second is in.
func span(first, last int64, n int) (start, end int) {
	size := int64(n)
	if first < 0 {
		first = max(first+size, 0)
	}
	if last < 0 {
		last += size
	}
	last = min(last, size-1)
	if first > last {
		return 0, 0
	}
	return int(first), int(last) + 1
}
