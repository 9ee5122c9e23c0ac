//go:build linux

package main

import (
	"math"
	"testing"
	"time"
)

func TestBucketsKeepTheirOrderAndPrecision(t *testing.T) {
	last := -1
	for n := time.Duration(0); n < time.Hour; n += 1 + n/97 {
		bucket := bucketOf(n)
		if bucket < last {
			t.Fatalf("%v: got bucket %d, want at least %d", n, bucket, last)
		}
		last = bucket
		if got := middleOf(bucket); math.Abs(float64(got-n)) > 0.008*float64(n)+0.5 {
			t.Fatalf("%v: got %v from its bucket, want at most 0.8 %% off", n, got)
		}
	}
	var h histogram
	if got, want := bucketOf(math.MaxInt64), len(h.counts); got >= want {
		t.Errorf("longest duration: got bucket %d, want below %d", got, want)
	}
}

func TestQuantiles(t *testing.T) {
	var h, part histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("empty: got %v, want 0", got)
	}
	for i := range 1000 {
		part.add(time.Duration(i+1)*time.Microsecond, 2)
	}
	h.merge(&part)
	for _, test := range []struct {
		q    float64
		want time.Duration
	}{{0, time.Microsecond}, {0.5, 500 * time.Microsecond}, {0.99, 990 * time.Microsecond}, {0.999, 999 * time.Microsecond}, {1, time.Millisecond}} {
		got := h.quantile(test.q)
		if math.Abs(float64(got-test.want)) > 0.012*float64(test.want) {
			t.Errorf("quantile %v: got %v, want about %v", test.q, got, test.want)
		}
	}
}
