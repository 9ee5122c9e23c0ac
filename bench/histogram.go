//go:build linux

package main

import (
	"math/bits"
	"time"
)

// Each power of two of nanoseconds is cut into 128 buckets, so that a
// quantile is at most 0.8 % off.
const (
	subBits    = 7
	subBuckets = 1 << subBits
)

// histogram counts durations from 0 to some centuries. The zero value is
// empty.
type histogram struct {
	counts [(64 - subBits) * subBuckets]uint64
	total  uint64
}

// bucketOf returns the bucket of d: d itself below 128 ns, and above that its
// magnitude and the seven bits behind its highest one.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	shift := max(bits.Len64(n)-subBits-1, 0)
	return shift<<subBits + int(n>>shift)
}

// middleOf returns the middle of a bucket.
func middleOf(bucket int) time.Duration {
	if bucket < 2*subBuckets {
		return time.Duration(bucket)
	}
	shift := bucket>>subBits - 1
	low := uint64(bucket-shift<<subBits) << shift
	return time.Duration(low + 1<<shift/2)
}

// add counts n events that took d each.
func (h *histogram) add(d time.Duration, n uint64) {
	h.counts[bucketOf(d)] += n
	h.total += n
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// quantile returns the duration that a share q of the events did not exceed,
// zero if there were none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	var seen uint64
	for i, n := range h.counts {
		seen += n
		if n > 0 && seen > min(rank, h.total-1) {
			return middleOf(i)
		}
	}
	return 0
}
