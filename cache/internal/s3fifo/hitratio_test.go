package s3fifo_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

const (
	keys     = 100_000 // distinct keys of the Zipf traces
	requests = 300_000 // in each of them
	weight   = 300     // bytes of an entry, where sizes are equal
)

// shares are the parts of all keys' bytes, in per cent, that caches hold.
var shares = []int{1, 5, 10, 20}

func equal(uint32) int64 { return weight }

// mixed gives a key a size between 64 bytes and 16 KiB; each doubling is as
// likely as the next.
func mixed(key uint32) int64 {
	part := float64(mix(^key)>>11) / (1 << 53)
	return int64(64 * math.Pow(256, part))
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// replays marks a test of hit ratios. It replays millions of requests in one
// goroutine: it may run beside others of its kind, and not where time is short
// or the race detector, which has nothing to find in it, makes it ten times as
// slow.
func replays(t *testing.T) {
	t.Helper()
	if testing.Short() || raceDetector {
		t.Skip("too slow with -short or -race")
	}
	t.Parallel()
}

// compare replays a trace under both policies, shows both ratios, and fails
// the test if s3fifo's is below LRU's by more than below points.
func compare(t *testing.T, name string, tr trace, bound int64, size func(uint32) int64, below float64) {
	t.Helper()
	got, want := hitsOfIndex(tr, bound, size), hitsOfLRU(tr, bound, size)
	t.Logf("%-28s s3fifo %6.2f  lru %6.2f  %+6.2f", name, got, want, got-want)
	if got < want-below {
		t.Errorf("%s: got %.2f %% hits, LRU has %.2f %%, want at most %.2f points less", name, got, want, below)
	}
}

func TestHitRatioOnZipf(t *testing.T) {
	replays(t)
	for i, alpha := range []float64{0.8, 0.9, 1.0, 1.1} {
		tr := zipfTrace(seeded(uint64(i)), requests, keys, alpha)
		for _, share := range shares {
			name := fmt.Sprintf("zipf %.1f, %d %%", alpha, share)
			compare(t, name, tr, int64(share)*keys/100*weight, equal, 1)
		}
	}
}

func TestHitRatioOnZipfOfMixedSizes(t *testing.T) {
	replays(t)
	var total int64
	for key := range uint32(keys) {
		total += mixed(key)
	}
	for i, alpha := range []float64{0.8, 1.1} {
		tr := zipfTrace(seeded(uint64(i)), requests, keys, alpha)
		for _, share := range shares {
			name := fmt.Sprintf("mixed sizes %.1f, %d %%", alpha, share)
			compare(t, name, tr, total*int64(share)/100, mixed, 1)
		}
	}
}

// Scans are the case S3-FIFO is chosen for: there it must be above LRU.
func TestHitRatioOnScans(t *testing.T) {
	replays(t)
	popular := zipfTrace(seeded(1), requests/2, keys, 1.0)
	for _, scan := range []struct{ every, length int }{{20_000, 5_000}, {10_000, 10_000}, {50_000, 50_000}} {
		tr := withScans(popular, scan.every, scan.length)
		for _, share := range shares {
			name := fmt.Sprintf("scans of %d, %d %%", scan.length, share)
			compare(t, name, tr, int64(share)*keys/100*weight, equal, -0.5)
		}
	}
}

// A loop a little larger than the cache is what LRU is worst at: each entry
// leaves just before it is asked for.
func TestHitRatioOnLoops(t *testing.T) {
	replays(t)
	const room = 10_000 // entries that LRU has room for
	for _, percent := range []int{90, 101, 110, 150, 200} {
		name := fmt.Sprintf("loop of %d %%", percent)
		compare(t, name, loopTrace(requests/2, room*percent/100), room*weight, equal, 1)
	}
	popular := zipfTrace(seeded(2), requests, keys, 1.0)
	for _, percent := range []int{50, 90, 150} {
		name := fmt.Sprintf("zipf 1.0 + loop of %d %%", percent)
		compare(t, name, withLoop(popular, 2, room*percent/100), room*weight, equal, 1)
	}
}

// What S3-FIFO is bad at, with the points it was measured to lose, so that
// nobody makes it worse unawares. Where what is popular changes faster than the
// cache turns over, the main queue holds on to entries that were used often,
// while a new one is first evicted to become known. LRU does better then.
func TestHitRatioOnShiftingPopularity(t *testing.T) {
	replays(t)
	ranks := zipfTrace(seeded(3), requests, keys, 1.0)
	for _, c := range []struct {
		every, by int     // after so many requests, so many keys lose their ranks
		at1, at10 float64 // points below LRU at 1 and at 10 per cent
	}{
		{20_000, 1_000, -1, 3.5},
		{5_000, 100, -1, 1},
		{1_000, 100, 6.5, 7.5},
		{100, 10, 8, 8},
		{1_000, 1_000, 8, 3.5},
	} {
		tr := shifting(ranks, c.every, c.by)
		name := fmt.Sprintf("shift by %d every %d", c.by, c.every)
		compare(t, name+", 1 %", tr, keys/100*weight, equal, c.at1)
		compare(t, name+", 10 %", tr, keys/10*weight, equal, c.at10)
	}
}

// Entries asked for exactly twice lose both times if the requests are too far
// apart for the small queue, though near enough for LRU, and then take a place
// in the main queue for nothing.
func TestHitRatioOnPairs(t *testing.T) {
	replays(t)
	popular := zipfTrace(seeded(4), requests, keys, 1.0)
	for _, c := range []struct {
		gap   int     // other entries between the two requests for one
		below float64 // points
	}{
		{1, -1}, {500, -1}, {5_000, 10.5},
	} {
		name := fmt.Sprintf("pairs %d apart", c.gap)
		compare(t, name, withPairs(popular, 20_000, 10_000, c.gap), keys/10*weight, equal, c.below)
	}
}

// A loop that LRU has just room for does not quite fit once the ghosts and the
// larger nodes are paid for. It costs s3fifo some of the loop; a loop larger by
// as much costs LRU all of it.
func TestHitRatioOnLoopThatJustFits(t *testing.T) {
	replays(t)
	const room = 10_000
	compare(t, "loop of 97 %", loopTrace(requests/2, room*97/100), room*weight, equal, 20)
}
