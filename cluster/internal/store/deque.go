package store

// A deque is a ring that grows and shrinks: elements are added at the back,
// and taken from both ends, in O(1).
type deque[T any] struct {
	ring []T // length is zero or a power of two
	head int // place of the first element
	n    int
}

const minDeque = 16

func (d *deque[T]) len() int { return d.n }

func (d *deque[T]) place(i int) int { return (d.head + i) & (len(d.ring) - 1) }

func (d *deque[T]) at(i int) T { return d.ring[d.place(i)] }

func (d *deque[T]) push(v T) {
	if d.n == len(d.ring) {
		d.resize(max(minDeque, 2*d.n))
	}
	d.ring[d.place(d.n)] = v
	d.n++
}

func (d *deque[T]) popFront() T {
	v := d.take(0)
	d.head = d.place(1)
	d.dropped()
	return v
}

func (d *deque[T]) popBack() T {
	v := d.take(d.n - 1)
	d.dropped()
	return v
}

// take empties a place, so that what it referred to can be collected.
func (d *deque[T]) take(i int) T {
	var zero T
	p := d.place(i)
	v := d.ring[p]
	d.ring[p] = zero
	return v
}

func (d *deque[T]) dropped() {
	d.n--
	if len(d.ring) > minDeque && d.n <= len(d.ring)/4 {
		d.resize(len(d.ring) / 2)
	}
}

func (d *deque[T]) resize(size int) {
	ring := make([]T, size)
	for i := range d.n {
		ring[i] = d.at(i)
	}
	d.ring, d.head = ring, 0
}
