package s3fifo_test

import "github.com/huddlecache/huddle/cache/internal/s3fifo"

// mix turns a key into the hash that an owner would give.
func mix(key uint32) uint64 {
	h := uint64(key) + 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// nodeExtra is how many bytes more a Node takes than an element of LRU's list:
// the hash, and the counter with the queue's number.
const nodeExtra = 16

// hitsOfIndex replays a trace on a cache of bound bytes under s3fifo and
// returns the percentage of hits. It pays for what s3fifo remembers: entries
// weigh nodeExtra more than under LRU, and the ghosts come off the bound.
func hitsOfIndex(tr trace, bound int64, size func(key uint32) int64) float64 {
	x := s3fifo.New[uint32](bound)
	nodes := make([]*s3fifo.Node[uint32], tr.keys())
	hits := 0
	for _, key := range tr {
		if n := nodes[key]; n != nil {
			n.Used()
			hits++
			continue
		}
		need := size(key) + nodeExtra
		n := &s3fifo.Node[uint32]{}
		for v := x.Victim(need); v != nil; v = x.Victim(need) {
			nodes[v.Value] = nil
			n = v
		}
		n.Value = key
		if x.Added(n, mix(key), need) {
			nodes[key] = n
		}
		x.SetBound(bound - x.Overhead())
	}
	return 100 * float64(hits) / float64(len(tr))
}

// hitsOfLRU is hitsOfIndex under LRU.
func hitsOfLRU(tr trace, bound int64, size func(key uint32) int64) float64 {
	l := newLRU(bound)
	elements := make([]*element, tr.keys())
	hits := 0
	for _, key := range tr {
		if e := elements[key]; e != nil {
			l.used(e)
			hits++
			continue
		}
		need := size(key)
		if need > bound {
			continue
		}
		e := &element{}
		for v := l.victim(need); v != nil; v = l.victim(need) {
			elements[v.key] = nil
			e = v
		}
		e.key = key
		l.added(e, need)
		elements[key] = e
	}
	return 100 * float64(hits) / float64(len(tr))
}
