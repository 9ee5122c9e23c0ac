package keyspace

import "github.com/huddlecache/huddle/keyspace/internal/tree"

// A zset is Redis' sorted set. Its members are in two trees: one finds the
// score, the other the rank.
type zset struct {
	byName  tree.Tree[scored]
	byScore tree.Tree[ranked]
	bytes   int64
}

// A scored is a member with its score, which is never NaN nor minus zero.
type scored struct {
	member
	score float64
}

// A ranked is a scored in the order of scores, then of the bytes of names.
type ranked struct {
	score float64
	name  string
}

func (r ranked) isBefore(score float64, name string) bool {
	if r.score != score {
		return r.score < score
	}
	return r.name < name
}

func (z *zset) kind() kind  { return kindZSet }
func (z *zset) size() int64 { return collectionCost + z.bytes }
func (z *zset) copy() value { return &zset{z.byName.Copy(), z.byScore.Copy(), z.bytes} }

// len is 0 for nil too.
func (z *zset) len() int {
	if z == nil {
		return 0
	}
	return z.byName.Len()
}

func (z *zset) save(w *saver) {
	w.uvarint(uint64(z.byName.Len()))
	z.byName.Ascend(0, func(m scored) bool {
		w.string(m.name)
		w.double(m.score)
		return w.err == nil
	})
}

// encoding goes by what the sorted set is now; Redis never goes back to a
// listpack.
func (z *zset) encoding() string {
	isSmall := z.len() <= maxListpack
	if isSmall {
		z.byScore.Ascend(0, func(r ranked) bool {
			isSmall = len(r.name) <= maxSmall
			return isSmall
		})
	}
	if isSmall {
		return "listpack"
	}
	return "skiplist"
}

// score returns the score of a name. There is none in nil.
func (z *zset) score(s *Space, name []byte) (score float64, found bool) {
	if z == nil {
		return 0, false
	}
	_, m, found := locate(&z.byName, s.hash(name), name)
	if !found {
		return 0, false
	}
	return m.score, true
}

// scoreOf is score of a member.
func (z *zset) scoreOf(m member) (score float64, found bool) {
	if z == nil {
		return 0, false
	}
	_, other, found := z.byName.Search(func(other scored) bool { return other.isBefore(m.hash, m.name) })
	if !found || other.member != m {
		return 0, false
	}
	return other.score, true
}

// rank returns how many come before.
func (z *zset) rank(score float64, name string) int {
	i, _, _ := z.byScore.Search(func(r ranked) bool { return r.isBefore(score, name) })
	return i
}

// plain returns a score as it is stored: Redis keeps minus zero in large sorted
// sets, and makes it zero in small ones.
func plain(score float64) float64 {
	if score == 0 {
		return 0
	}
	return score
}

// set gives a name a score. Minus zero becomes zero.
func (z *zset) set(s *Space, name []byte, score float64) {
	z.put(s.hash(name), name, score)
}

func (z *zset) put(hash uint64, name []byte, score float64) {
	score = plain(score)
	i, m, found := locate(&z.byName, hash, name)
	if found {
		z.byScore.Delete(z.rank(m.score, m.name))
		m.score = score
		z.byName.Set(i, m)
	} else {
		m = scored{member{hash, string(name)}, score}
		z.byName.Insert(i, m)
		z.bytes += scoredCost + int64(len(m.name))
	}
	z.insertScore(m.name, score)
}

func (z *zset) insertScore(name string, score float64) {
	z.byScore.Insert(z.rank(score, name), ranked{score, name})
}

// remove takes a name out, and reports whether it was there.
func (z *zset) remove(s *Space, name []byte) bool {
	i, m, found := locate(&z.byName, s.hash(name), name)
	if found {
		z.byName.Delete(i)
		z.byScore.Delete(z.rank(m.score, m.name))
		z.bytes -= scoredCost + int64(len(m.name))
	}
	return found
}

// removeRank takes out who has a rank.
func (z *zset) removeRank(s *Space, rank int) ranked {
	r := z.byScore.Delete(rank)
	name := []byte(r.name)
	i, _, _ := locate(&z.byName, s.hash(name), name)
	z.byName.Delete(i)
	z.bytes -= scoredCost + int64(len(r.name))
	return r
}

// each calls visit for the members from rank start up to but not end, or from
// behind.
func (z *zset) each(start, end int, isReverse bool, visit func(ranked)) {
	left := end - start
	if left <= 0 {
		return
	}
	step := func(r ranked) bool {
		visit(r)
		left--
		return left > 0
	}
	if isReverse {
		z.byScore.Descend(end-1, step)
	} else {
		z.byScore.Ascend(start, step)
	}
}
