package s3fifo_test

import (
	"math"
	"math/rand/v2"
	"sort"
)

// A trace is a sequence of requests for keys, which are small numbers.
type trace []uint32

// keys is one more than the largest key.
func (tr trace) keys() uint32 {
	var n uint32
	for _, key := range tr {
		n = max(n, key+1)
	}
	return n
}

// zipf draws ranks below n, rank r with a weight of 1/(r+1)^alpha. Unlike
// math/rand's it takes an alpha of one and less, where caches live.
type zipf struct {
	rng        *rand.Rand
	cumulative []float64
}

func newZipf(rng *rand.Rand, n int, alpha float64) *zipf {
	z := &zipf{rng: rng, cumulative: make([]float64, n)}
	var sum float64
	for r := range n {
		sum += math.Pow(float64(r+1), -alpha)
		z.cumulative[r] = sum
	}
	return z
}

func (z *zipf) next() uint32 {
	u := z.rng.Float64() * z.cumulative[len(z.cumulative)-1]
	return uint32(sort.SearchFloat64s(z.cumulative, u))
}

// zipfTrace asks for popular keys more often, always the same ones.
func zipfTrace(rng *rand.Rand, requests, keys int, alpha float64) trace {
	z := newZipf(rng, keys, alpha)
	tr := make(trace, requests)
	for i := range tr {
		tr[i] = z.next()
	}
	return tr
}

// withScans puts a scan of length keys that are asked for this once after
// every so many requests of a trace.
func withScans(tr trace, every, length int) trace {
	next := tr.keys()
	var out trace
	for i, key := range tr {
		out = append(out, key)
		if (i+1)%every == 0 {
			for range length {
				out = append(out, next)
				next++
			}
		}
	}
	return out
}

// withLoop puts one step of an endless loop over its own length keys after
// every so many requests of a trace.
func withLoop(tr trace, every, length int) trace {
	first := tr.keys()
	var out trace
	step := 0
	for i, key := range tr {
		out = append(out, key)
		if (i+1)%every == 0 {
			out = append(out, first+uint32(step%length))
			step++
		}
	}
	return out
}

// loopTrace asks for the same keys in the same order again and again.
func loopTrace(requests, keys int) trace {
	tr := make(trace, requests)
	for i := range tr {
		tr[i] = uint32(i % keys)
	}
	return tr
}

// shifting gives keys new ranks after every so many requests of a trace: the
// first by keys are what were the next ones, and what they were comes last.
func shifting(tr trace, every, by int) trace {
	n := int(tr.keys())
	out := make(trace, len(tr))
	for i, rank := range tr {
		out[i] = uint32((int(rank) + i/every*by) % n)
	}
	return out
}

// withPairs is withScans of keys that are asked for twice, the second time
// after gap keys of the scan, and never again.
func withPairs(tr trace, every, length, gap int) trace {
	next := tr.keys()
	var out trace
	for i, key := range tr {
		out = append(out, key)
		if (i+1)%every != 0 {
			continue
		}
		for range length / gap {
			for j := range 2 * gap {
				out = append(out, next+uint32(j%gap))
			}
			next += uint32(gap)
		}
	}
	return out
}
