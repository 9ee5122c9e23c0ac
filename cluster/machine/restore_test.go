package machine_test

import (
	"math"
	"testing"
	"time"

	"github.com/huddlecache/huddle/cluster/machine"
)

func TestShift(t *testing.T) {
	const never = machine.Never
	for _, test := range []struct{ deadline, shift, want time.Duration }{
		{10, 5, 15},
		{10, -5, 5},
		{10, 0, 10},
		{0, 5, 0},
		{never, 5, never},
		{never, -5, never},
		{10, -10, 1},
		{10, -100, 1},
		{10, math.MinInt64 + 1, 1},
		{never - 10, 9, never - 1},
		{never - 10, 10, never - 1},
		{never - 10, never - 1, never - 1},
		{never - 10, -10, never - 20},
	} {
		if got := machine.Shift(test.deadline, test.shift); got != test.want {
			t.Errorf("Shift(%d, %d) = %d, want %d", test.deadline, test.shift, got, test.want)
		}
	}
}
