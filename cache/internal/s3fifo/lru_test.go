package s3fifo_test

// lru is plain least-recently-used eviction, what s3fifo is measured against:
// a ring of elements around root, the most recently used one next to it.
type lru struct {
	bound, bytes int64
	root         element
}

type element struct {
	key        uint32
	size       int64
	prev, next *element
}

func newLRU(bound int64) *lru {
	l := &lru{bound: bound}
	l.root.prev, l.root.next = &l.root, &l.root
	return l
}

func (l *lru) added(e *element, size int64) {
	e.size = size
	l.bytes += size
	l.pushFront(e)
}

func (l *lru) used(e *element) {
	e.unlink()
	l.pushFront(e)
}

// victim makes room as Index.Victim does.
func (l *lru) victim(need int64) *element {
	e := l.root.prev
	if need > l.bound || l.bytes+need <= l.bound || e == &l.root {
		return nil
	}
	e.unlink()
	l.bytes -= e.size
	return e
}

func (l *lru) pushFront(e *element) {
	e.prev, e.next = &l.root, l.root.next
	e.prev.next, e.next.prev = e, e
}

func (e *element) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
}
