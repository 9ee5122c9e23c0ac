// Package tree is a sequence of items that is found, read and changed by
// position in O(log n), and copied in O(1).
//
// It is a B+ tree whose inner nodes count what is below each child. Sorted
// sequences are searched for the position where a predicate turns, so that
// one structure serves lists, and sets that know the rank of what they hold.
package tree

import "slices"

// maxItems is how many items a leaf holds, and how many children an inner
// node has. A node with fewer than minItems is joined with a neighbour.
const (
	maxItems = 64
	minItems = maxItems / 4
)

// A Tree is a sequence. The zero Tree is empty and ready. A Tree must not be
// copied but by Copy. Several goroutines may read it at once, also while
// another tree that shares nodes with it is changed.
type Tree[T any] struct {
	root  *node[T]
	count int
	owner *owner // of the nodes that may be changed in place
}

// An owner tells a tree's nodes from those that it shares. Only its address
// matters, which is why it is not empty.
type owner struct{ _ byte }

// A node is a leaf or has kids. In an inner node items[i] is the first item
// below kids[i], and counts[i] how many there are.
type node[T any] struct {
	owner  *owner
	items  []T
	kids   []*node[T]
	counts []int
}

// Len returns the number of items.
func (t *Tree[T]) Len() int { return t.count }

// Copy returns a tree with the same items. They share their nodes; whichever
// is changed copies what it changes. Others may read t meanwhile.
func (t *Tree[T]) Copy() Tree[T] {
	t.owner = nil
	return Tree[T]{root: t.root, count: t.count}
}

// Search returns the first position whose item is not before what is looked
// for, with that item. Items for which isBefore holds must come first. Where
// it holds for all the position is Len and found is false.
func (t *Tree[T]) Search(isBefore func(T) bool) (i int, item T, found bool) {
	n := t.root
	for n != nil {
		low, high := 0, len(n.items)
		for low < high {
			mid := int(uint(low+high) / 2)
			if isBefore(n.items[mid]) {
				low = mid + 1
			} else {
				high = mid
			}
		}
		if n.kids == nil {
			i += low
			if low < len(n.items) {
				return i, n.items[low], true
			}
			break
		}
		// The first item below kids[low] is not before. It is the answer if
		// nothing in the child ahead of it is.
		if low < len(n.items) {
			item, found = n.items[low], true
		}
		if low == 0 {
			return i, item, found
		}
		for _, count := range n.counts[:low-1] {
			i += count
		}
		n = n.kids[low-1]
	}
	return i, item, found
}

// At returns the item at position i, which must be there.
func (t *Tree[T]) At(i int) T {
	n := t.root
	for n.kids != nil {
		k := 0
		for i >= n.counts[k] {
			i -= n.counts[k]
			k++
		}
		n = n.kids[k]
	}
	return n.items[i]
}

// Set replaces the item at position i, which must be there.
func (t *Tree[T]) Set(i int, item T) {
	n := t.own(&t.root)
	for n.kids != nil {
		k := 0
		for i >= n.counts[k] {
			i -= n.counts[k]
			k++
		}
		if i == 0 {
			n.items[k] = item
		}
		n = t.own(&n.kids[k])
	}
	n.items[i] = item
}

// Insert puts item at position i, ahead of what was there.
func (t *Tree[T]) Insert(i int, item T) {
	if t.root == nil {
		t.root = &node[T]{owner: t.mark()}
	}
	right := t.insert(&t.root, i, item)
	if right != nil {
		left := t.root
		t.root = &node[T]{
			owner:  t.mark(),
			items:  []T{left.items[0], right.items[0]},
			kids:   []*node[T]{left, right},
			counts: []int{left.count(), right.count()},
		}
	}
	t.count++
}

// Append puts item at the end.
func (t *Tree[T]) Append(item T) { t.Insert(t.count, item) }

// Delete takes the item at position i out and returns it.
func (t *Tree[T]) Delete(i int) T {
	item := t.delete(&t.root, i)
	t.count--
	if len(t.root.kids) == 1 {
		t.root = t.root.kids[0]
	}
	if t.count == 0 {
		t.root = nil
	}
	return item
}

// Ascend calls visit for the items from position i on, as long as it returns
// true.
func (t *Tree[T]) Ascend(i int, visit func(T) bool) {
	if t.root != nil && i < t.count {
		t.root.ascend(i, visit)
	}
}

// Descend calls visit for the items from position i down to the first, as
// long as it returns true.
func (t *Tree[T]) Descend(i int, visit func(T) bool) {
	if t.root != nil && i >= 0 {
		t.root.descend(i, visit)
	}
}

func (n *node[T]) ascend(i int, visit func(T) bool) bool {
	if n.kids == nil {
		for _, item := range n.items[i:] {
			if !visit(item) {
				return false
			}
		}
		return true
	}
	for k, kid := range n.kids {
		if i < n.counts[k] {
			if !kid.ascend(max(i, 0), visit) {
				return false
			}
		}
		i -= n.counts[k]
	}
	return true
}

// descend begins at position i, or at the last one where there are fewer.
func (n *node[T]) descend(i int, visit func(T) bool) bool {
	if n.kids == nil {
		for k := min(i, len(n.items)-1); k >= 0; k-- {
			if !visit(n.items[k]) {
				return false
			}
		}
		return true
	}
	ahead := 0
	for _, count := range n.counts {
		ahead += count
	}
	for k, kid := range slices.Backward(n.kids) {
		ahead -= n.counts[k]
		if i >= ahead && !kid.descend(i-ahead, visit) {
			return false
		}
	}
	return true
}

// mark returns the tree's owner, a new one if it shares all that it has.
func (t *Tree[T]) mark() *owner {
	if t.owner == nil {
		t.owner = new(owner)
	}
	return t.owner
}

// own makes the node in place one that may be changed.
func (t *Tree[T]) own(place **node[T]) *node[T] {
	n := *place
	if n.owner != t.mark() {
		n = &node[T]{
			owner:  t.owner,
			items:  slices.Clone(n.items),
			kids:   slices.Clone(n.kids),
			counts: slices.Clone(n.counts),
		}
		*place = n
	}
	return n
}

func (n *node[T]) count() (sum int) {
	if n.kids == nil {
		return len(n.items)
	}
	for _, count := range n.counts {
		sum += count
	}
	return sum
}

// note brings up to date what n knows of its child k.
func (n *node[T]) note(k int) {
	n.items[k] = n.kids[k].items[0]
	n.counts[k] = n.kids[k].count()
}

// insert returns the node to be put behind the one in place, if that has
// become too large.
func (t *Tree[T]) insert(place **node[T], i int, item T) (right *node[T]) {
	n := t.own(place)
	if n.kids == nil {
		n.items = slices.Insert(n.items, i, item)
		return t.split(n, cutFor(i))
	}
	k := 0
	for k < len(n.kids)-1 && i > n.counts[k] {
		i -= n.counts[k]
		k++
	}
	more := t.insert(&n.kids[k], i, item)
	n.note(k)
	if more == nil {
		return nil
	}
	n.kids = slices.Insert(n.kids, k+1, more)
	n.items = slices.Insert(n.items, k+1, more.items[0])
	n.counts = slices.Insert(n.counts, k+1, more.count())
	return t.split(n, half)
}

const half = (maxItems + 1) / 2

// cutFor says where a leaf that has got an item at position i is to be cut
// should it be too large: at either end, as queues grow and snapshots are
// read, close to it, so that what lies behind stays full.
func cutFor(i int) int {
	switch i {
	case 0:
		return 1
	case maxItems:
		return maxItems
	}
	return half
}

// split cuts n, if it is too large, and returns what lies behind the cut.
func (t *Tree[T]) split(n *node[T], at int) (right *node[T]) {
	if len(n.items) <= maxItems {
		return nil
	}
	right = &node[T]{owner: t.owner, items: slices.Clone(n.items[at:])}
	if n.kids != nil {
		right.kids = slices.Clone(n.kids[at:])
		right.counts = slices.Clone(n.counts[at:])
	}
	n.cut(at)
	return right
}

// cut leaves the first items of n, and lets go of the others.
func (n *node[T]) cut(size int) {
	n.items = slices.Delete(n.items, size, len(n.items))
	if n.kids != nil {
		n.kids = slices.Delete(n.kids, size, len(n.kids))
		n.counts = slices.Delete(n.counts, size, len(n.counts))
	}
}

func (t *Tree[T]) delete(place **node[T], i int) T {
	n := t.own(place)
	if n.kids == nil {
		item := n.items[i]
		n.items = slices.Delete(n.items, i, i+1)
		return item
	}
	k := 0
	for i >= n.counts[k] {
		i -= n.counts[k]
		k++
	}
	item := t.delete(&n.kids[k], i)
	if len(n.kids[k].items) < minItems && len(n.kids) > 1 {
		t.join(n, max(k-1, 0))
	} else {
		n.note(k)
	}
	return item
}

// join makes one of the children k and k+1 of n, or two that are equally
// large. One of them may be empty.
func (t *Tree[T]) join(n *node[T], k int) {
	a, b := t.own(&n.kids[k]), n.kids[k+1]
	a.items = append(a.items, b.items...)
	a.kids = append(a.kids, b.kids...)
	a.counts = append(a.counts, b.counts...)
	if right := t.split(a, len(a.items)/2); right != nil {
		n.kids[k+1] = right
		n.note(k + 1)
	} else {
		n.kids = slices.Delete(n.kids, k+1, k+2)
		n.items = slices.Delete(n.items, k+1, k+2)
		n.counts = slices.Delete(n.counts, k+1, k+2)
	}
	n.note(k)
}
