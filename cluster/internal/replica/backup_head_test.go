package replica

import (
	"math"
	"testing"
)

// A number source at its end would begin again at zero, and with it tokens.
func TestANumberSourceAtItsEndIsDamage(t *testing.T) {
	for number, want := range map[uint64]bool{1: true, math.MaxInt64 / 2: true, math.MaxUint64: false} {
		h := BackupHead{Number: number}
		if _, err := parseHead(h.append(nil)); (err == nil) != want {
			t.Errorf("number %d: got %v, want it taken: %v", number, err, want)
		}
	}
}
