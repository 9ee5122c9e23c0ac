package s3fifo

// A queue is a first-in, first-out list that nodes can leave from anywhere.
type queue[V any] struct {
	oldest, newest *Node[V]
	bytes          int64 // sum of the nodes' sizes
	len            int
}

// push makes a node the newest.
func (q *queue[V]) push(n *Node[V]) {
	n.older = q.newest
	if q.newest != nil {
		q.newest.newer = n
	} else {
		q.oldest = n
	}
	q.newest = n
	q.bytes += n.size
	q.len++
}

// unlink takes a node out, wherever in the queue it is.
func (q *queue[V]) unlink(n *Node[V]) {
	if n.older != nil {
		n.older.newer = n.newer
	} else {
		q.oldest = n.newer
	}
	if n.newer != nil {
		n.newer.older = n.older
	} else {
		q.newest = n.older
	}
	n.older, n.newer = nil, nil
	q.bytes -= n.size
	q.len--
}
